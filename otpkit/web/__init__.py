"""What web frameworks need of otpkit, whichever they are: problem documents, the visitor's address, two forms.

The modules of `otpkit.integrations` are thin on top of it; so can be yours for another framework.
"""

from otpkit.web.fingerprints import fingerprint
from otpkit.web.forms import MAX_BODY, Answer, Asked, PhoneForms, View, read_form
from otpkit.web.problems import MEDIA_TYPE, Problem, plain_problem, problem
from otpkit.web.sessions import State, bind_of, take_proof, visit
from otpkit.web.turns import Turn, drive, drive_async
from otpkit.web.visitors import client_ip, preferred_language

__all__ = [
    "MAX_BODY",
    "MEDIA_TYPE",
    "Answer",
    "Asked",
    "PhoneForms",
    "Problem",
    "State",
    "Turn",
    "View",
    "bind_of",
    "client_ip",
    "drive",
    "drive_async",
    "fingerprint",
    "plain_problem",
    "preferred_language",
    "problem",
    "read_form",
    "take_proof",
    "visit",
]
