"""The parts of otpkit that any web framework needs: problem documents, the visitor's address, and the two forms.

The modules of `otpkit.integrations` are thin layers on top of it. You can write one for another framework.
"""

from otpkit.aio import drive_async
from otpkit.effects import PageFlow
from otpkit.effects import PageFlow as Turn  # the earlier name
from otpkit.sync import drive
from otpkit.web.brand import Brand
from otpkit.web.captchas import ShownCaptcha
from otpkit.web.devices import DEVICES_COOKIE, DeviceCookie, device_cookie
from otpkit.web.discreet import CodeRefusedError, presumed_challenge, tells_of_number
from otpkit.web.fingerprints import fingerprint
from otpkit.web.forms import MAX_BODY, Answer, Asked, PhoneForms, View, read_form
from otpkit.web.paths import back_path, onward, own_path, verify_again
from otpkit.web.problems import MEDIA_TYPE, Problem, plain_problem, problem
from otpkit.web.refusals import refusal
from otpkit.web.sessions import ProofCookie, State, bind_of, cookie_name, language_of, take_proof, visit
from otpkit.web.visitors import client_ip, preferred_language, prefers_html

__all__ = [
    "DEVICES_COOKIE",
    "MAX_BODY",
    "MEDIA_TYPE",
    "Answer",
    "Asked",
    "Brand",
    "CodeRefusedError",
    "DeviceCookie",
    "PageFlow",
    "PhoneForms",
    "Problem",
    "ProofCookie",
    "ShownCaptcha",
    "State",
    "Turn",
    "View",
    "back_path",
    "bind_of",
    "client_ip",
    "cookie_name",
    "device_cookie",
    "drive",
    "drive_async",
    "fingerprint",
    "language_of",
    "onward",
    "own_path",
    "plain_problem",
    "preferred_language",
    "prefers_html",
    "presumed_challenge",
    "problem",
    "read_form",
    "refusal",
    "take_proof",
    "tells_of_number",
    "verify_again",
    "visit",
]
