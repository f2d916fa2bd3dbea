"""Build the image of examples/deploy without Docker, start it as it is meant to run, and sign up through it.

    sudo python tests/deploy/try_image.py --base trixie.tar --redis redis://127.0.0.1:6379/0

`.ci/image` makes both. buildah builds the image in a chroot, and bubblewrap starts it: as the user of the image,
without capabilities, on a read-only root, with its secrets in files. Where this can't run, it fails with the reason,
unless OTPKIT_SKIP_IMAGE is set to a reason of yours.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "examples" / "deploy"
PROGRAMS: Final = ("buildah", "bwrap")
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
# What pip on this machine needs to reach PyPI, which pip in the build needs too.
PIP_SETTINGS: Final = ("cert", "default-timeout", "index-url", "proxy", "retries", "timeout", "trusted-host")
USER: Final = 10_001
PHONE: Final = "+8613800138000"
APP_KEY, APP_SECRET = "sandbox", "sandbox-secret"
SECONDS: Final = 60


class Builder:
    """buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        where = ("--root", str(folder / "graph"), "--runroot", str(folder / "run"), "--storage-driver", "vfs")
        self._command = ("buildah", *where)

    def __call__(self, *args: str) -> str:
        """Run a command of buildah, and return its output."""
        return output(*self._command, *args)


def output(*command: str) -> str:
    """Run a command, and return its output without the last line break."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stdout}")
    return done.stdout.strip()


def require_tools(base: Path) -> None:
    """End with the reason if this machine can't build or run the image."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}. Run: apt-get install buildah bubblewrap libgpgme11")
    if os.geteuid() != 0:
        raise SystemExit("buildah's chroot and the change of the user need root. Run it by sudo.")
    if not base.is_file():
        raise SystemExit(f"there is no base {base}. Run: .ci/base {base}")


def pip_settings() -> str:
    """Return a pip.conf with what pip needs on this machine to reach its index."""
    listed = output(sys.executable, "-m", "pip", "config", "list")
    found = re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE)
    return "".join(
        ["[global]\n", *(f"{name} = {value}\n" for name, value in dict(found).items() if name in PIP_SETTINGS)]
    )


def build(buildah: Builder, folder: Path, base: Path) -> dict[str, Any]:
    """Build the image "otpkit", and return its configuration."""
    container = buildah("from", "scratch")
    buildah("add", "-q", container, str(base), "/")
    buildah("commit", "-q", "--rm", container, "otpkit-base")
    config = folder / "pip.conf"
    config.write_text(pip_settings(), encoding="utf-8")
    mounted = {str(config): "/etc/pip.conf"} | ({CERTIFICATES: CERTIFICATES} if Path(CERTIFICATES).is_file() else {})
    buildah(
        *("build", "-q", "--isolation", "chroot", "--network", "host", "--layers=false", "--format", "docker"),
        *("--build-arg", "BASE=localhost/otpkit-base"),
        *(part for source, target in mounted.items() for part in ("--volume", f"{source}:{target}:ro")),
        *("--ignorefile", str(DEPLOY / "Dockerfile.dockerignore"), "-f", str(DEPLOY / "Dockerfile")),
        *("-t", "otpkit", str(ROOT)),
    )
    found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", "otpkit"))["Docker"]["config"]
    return found


class Container:
    """The image, run by bubblewrap: its user, its environment, no capability, and nothing that can be written.

    Args:
        root: the mounted root of the image.
        config: the configuration of the image.
        run: a folder that the container sees as /run.
        env: more variables.
    """

    def __init__(self, root: str, config: dict[str, Any], run: Path, env: dict[str, str]) -> None:
        self.config = config
        user, _, group = config["User"].partition(":")
        variables = dict(each.split("=", 1) for each in config["Env"]) | env
        self._command = [
            *("bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--clearenv"),
            *("--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--ro-bind", str(run), "/run"),
            *(part for name, value in variables.items() for part in ("--setenv", name, value)),
            *("setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups"),
            *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
        ]

    def command(self, *args: str) -> list[str]:
        """Return the command line that runs a program in the container."""
        return [*self._command, *args]

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the container to its end."""
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=SECONDS, check=False)


def write_run(folder: Path, key: str) -> Path:
    """Return a folder with the settings of examples/deploy, and the secrets as files of the image's user."""
    run = folder / "run-of-the-service"
    (run / "secrets").mkdir(parents=True)
    settings = (DEPLOY / "otpkit.toml").read_text(encoding="utf-8")
    settings = settings.replace("0" * 64, hashlib.sha256(key.encode()).hexdigest())
    settings = settings.replace('"your-app-key"', f'"{APP_KEY}"')
    (run / "otpkit.toml").write_text(settings, encoding="utf-8")
    for name, value in {"otpkit_secret": secrets.token_urlsafe(32), "alidayu_app_secret": APP_SECRET}.items():
        path = run / "secrets" / name
        path.write_text(f"{value}\n", encoding="utf-8")
        path.chmod(0o400)
        os.chown(path, USER, USER)
    for path in (run, run / "secrets", run / "otpkit.toml"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return run


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(command: Sequence[str], first: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server, and wait for its first line. It is killed at the end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    environ["PYTHONUNBUFFERED"] = "1"
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(first):
                process.kill()
                raise SystemExit(f"{' '.join(command)} printed:\n{line}{process.stdout.read()}")
            yield process
        finally:
            process.kill()


def ask(url: str, key: str = "", body: Any = None) -> Any:
    """Return the JSON of an answer. Raises SystemExit for an answer that reports a problem."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url} answers {error.code}: {error.read().decode()}") from None


def sign_up(service: str, sandbox: str, key: str) -> None:
    """Issue a code, read it in the inbox of the local gateway, verify it, and redeem the proof."""
    body = {"phone": PHONE, "purpose": "signup"}
    assert ask(f"{service}/v1/challenges", key, body)["delivery"] == "accepted"
    (message,) = ask(f"{sandbox}/api/messages")
    proof = ask(f"{service}/v1/verifications", key, body | {"code": message["code"]})
    redeemed = ask(f"{service}/v1/proofs/redeem", key, {"token": proof["token"], "purpose": "signup"})
    assert (redeemed["phone"], redeemed["replayed"]) == (PHONE, False)


def status_of(mark: str) -> tuple[int, dict[str, str]]:
    """Return the process of the service, which has `mark` in its command line: its id and /proc/PID/status."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if mark in words and words[0] not in {"bwrap", "setpriv"}:
                lines = (folder / "status").read_text().splitlines()
                return int(folder.name), dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    raise SystemExit("the service is not among the processes")


def check_content(root: Path, config: dict[str, Any]) -> None:
    """Check what the image holds and says of itself."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert config["User"] == f"{USER}:{USER}", config["User"]
    assert config["Labels"]["org.opencontainers.image.version"] == version, config["Labels"]
    assert config["Healthcheck"]["Test"] == ["CMD", "otpkit", "healthcheck"], config["Healthcheck"]
    sbom = json.loads((root / "opt/otpkit/sbom.cdx.json").read_text(encoding="utf-8"))
    names = {each["name"].lower() for each in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "otpkit"
    assert {"redis", "requests", "starlette", "uvicorn"} <= names, names
    assert "pip" not in names
    assert not list(root.glob("opt/otpkit/lib/python3*/site-packages/pip"))
    assert not (root / "src").exists()
    assert not (root / "tools").exists()


def try_service(root: str, config: dict[str, Any], folder: Path, redis: str) -> None:
    """Start the image and sign up through it."""
    key, port, gateway = secrets.token_urlsafe(32), free_port(), free_port()
    sandbox, service = f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{port}"
    env = {
        "PORT": str(port),
        "OTPKIT_REDIS_URL": redis,
        "OTPKIT_NAMESPACE": f"image-{secrets.token_hex(4)}",
        "OTPKIT_SECRET_FILE": "/run/secrets/otpkit_secret",
        "OTPKIT_ALIDAYU_APP_SECRET_FILE": "/run/secrets/alidayu_app_secret",
        "OTPKIT_ALIDAYU_BASE_URL": f"{sandbox}/gw/alidayu",
    }
    container = Container(root, config, write_run(folder, key), env)
    for path in ("/x", "/tmp/x", "/run/x", "/opt/otpkit/x"):
        assert container.run("touch", path).returncode != 0, f"{path} can be written"
    health = config["Healthcheck"]["Test"][1:]
    assert container.run(*health).returncode == 1, "a service that does not run is healthy"
    mark = "/run/otpkit.toml"
    command = container.command(*config["Entrypoint"], *config["Cmd"], "--config", mark)
    local = [sys.executable, "-m", "otpkit", "sandbox", "--port", str(gateway)]
    with serving(local, "Inbox: "), serving(command, "Listening on ") as process:
        number, status = status_of(mark)
        assert set(status["Uid"].split()) == {str(USER)}, status["Uid"]
        assert int(status["CapEff"], 16) == 0, status["CapEff"]
        assert status["NoNewPrivs"] == "1"
        for args in ((), ("--ready",)):
            done = container.run(*health, *args)
            assert done.returncode == 0, done.stderr
        sign_up(service, sandbox, key)
        os.kill(number, signal.SIGTERM)
        assert process.wait(SECONDS) == 0, process.returncode
        assert process.stdout is not None
        assert process.stdout.read() == ""


def main() -> None:
    """Build the image and try it."""
    if reason := os.environ.get("OTPKIT_SKIP_IMAGE", "").strip():
        print(f"The image is not built: OTPKIT_SKIP_IMAGE is {reason!r}.")
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True, help="a tar file with a Debian that has Python")
    parser.add_argument("--redis", required=True, help="the URL of a Redis server")
    given = parser.parse_args()
    require_tools(given.base)
    with tempfile.TemporaryDirectory(prefix="otpkit-image-") as name:
        folder, began = Path(name), time.monotonic()
        buildah = Builder(folder)
        config = build(buildah, folder, given.base)
        print(f"built in {time.monotonic() - began:.0f} s")
        root = buildah("mount", buildah("from", "otpkit"))
        try:
            check_content(Path(root), config)
            try_service(root, config, folder, given.redis)
        finally:
            buildah("umount", "--all")
            buildah("rm", "--all")
    print(f"a sign-up passed through the image, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
