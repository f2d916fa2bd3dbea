"""Secrets in files: `OTPKIT_SECRET_FILE` is the path of a file with the value of `OTPKIT_SECRET`.

Docker, Kubernetes and systemd hand secrets to a program as files. A file does not appear in `docker inspect`, in
`/proc/PID/environ`, or in the environment of child processes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Final

from otpkit.errors import ConfigurationError, FieldProblem

SUFFIX: Final = "_FILE"
MAX_BYTES: Final = 1_048_576  # A larger file is not a secret: the path is wrong.
# Proxies and the URL of Redis may contain a password, services of Twilio Verify a token, and hooks a secret.
_SECRET: Final = re.compile(r"OTPKIT_(?:\w+_)?(?:SECRET|KEY|KEYS|TOKEN|PROXY)|OTPKIT_(?:REDIS_URL|TWILIO_VERIFY|HOOKS)")
_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH


def takes_file(variable: str) -> bool:
    """Return True if a variable may hold a secret, so that a file can hold its value."""
    return _SECRET.fullmatch(variable) is not None


def read_secret(path: str) -> str:
    """Return the text of a secret file without blanks around it.

    Args:
        path: the path of the file. A symbolic link is followed, and the file that it leads to is checked.

    Raises:
        ConfigurationError: the file can't be read, is empty, or every user of the system may read or change it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        problem, remedy = f"can't be read: {error.strerror}", "Check the path, the owner and the permissions."
    except ValueError:  # The decoding error has bytes of the secret, so it is not passed on.
        problem, remedy = "is not a text in UTF-8", "Write the secret to it as text."
    else:
        if os.name == "posix" and mode & _OTHERS:
            problem = f"is open to every user of the system (mode {stat.S_IMODE(mode):04o})"
            remedy = "Make the user of this process its owner, and run: chmod 400 on it."
        elif len(content) > MAX_BYTES:
            problem, remedy = f"has more than {MAX_BYTES} bytes", "Check the path."
        elif not text:
            problem, remedy = "is empty", "Write the secret to it."
        else:
            return text
    # Raise outside the except block, so that the error has no context.
    raise ConfigurationError(f"The file {path!r:.200} {problem}.", remedy)


def read_secrets(given: Mapping[str, str], variables: Iterable[str]) -> tuple[dict[str, str], dict[str, FieldProblem]]:
    """Replace the paths of secret files by the contents of the files.

    Args:
        given: the variables with their values.
        variables: the variables whose value may be in a file.

    Returns:
        The variables with the contents, without those that end in `_FILE`; and by variable, the problem with its file.
    """
    found, problems = dict(given), {}
    for variable in variables:
        name = f"{variable}{SUFFIX}"
        path = found.pop(name, None)
        if path is None:
            continue
        if variable in found:
            problems[variable] = FieldProblem(name, f"{name} stands beside {variable}.", "Keep one of them.")
            continue
        try:
            found[variable] = read_secret(path)
        except ConfigurationError as error:
            problems[variable] = FieldProblem(name, f"{name}: {error.problem}", error.remedy)
    return found, problems


def explained(problems: Iterable[FieldProblem], unread: Mapping[str, FieldProblem]) -> list[FieldProblem]:
    """Return problems, with the problem of a secret's file in place of "is missing".

    Args:
        problems: the problems.
        unread: the problems of files, by variable.
    """
    return [unread.get(each.field, each) if each.is_missing else each for each in problems]
