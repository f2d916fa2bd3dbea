"""What web frameworks need of otpkit, whichever they are: problem documents, the visitor's address, two forms.

The modules of `otpkit.integrations` are thin on top of it; so can be yours for another framework.
"""

from otpkit.web.discreet import CodeRefusedError, presumed_challenge, tells_of_number
from otpkit.web.fingerprints import fingerprint
from otpkit.web.forms import MAX_BODY, Answer, Asked, PhoneForms, View, read_form
from otpkit.web.problems import MEDIA_TYPE, Problem, plain_problem, problem
from otpkit.web.sessions import ProofCookie, State, bind_of, cookie_name, take_proof, visit
from otpkit.web.turns import Turn, drive, drive_async
from otpkit.web.visitors import client_ip, preferred_language

__all__ = [
    "MAX_BODY",
    "MEDIA_TYPE",
    "Answer",
    "Asked",
    "CodeRefusedError",
    "PhoneForms",
    "Problem",
    "ProofCookie",
    "State",
    "Turn",
    "View",
    "bind_of",
    "client_ip",
    "cookie_name",
    "drive",
    "drive_async",
    "fingerprint",
    "plain_problem",
    "preferred_language",
    "presumed_challenge",
    "problem",
    "read_form",
    "take_proof",
    "tells_of_number",
    "visit",
]
