"""The files of examples/deploy pass the checks of the tools that read them, and agree with each other."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.servers import unavailable

from otpkit.core.secret_files import SUFFIX, takes_file
from otpkit.settings import read_settings
from otpkit.settings.tables import known_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
BIN = Path(sys.executable).parent
EXPOSURE = 2.0  # as `systemd-analyze security` rates a unit: 0 is the best, 10 the worst
USER = 10_001


def tool(name: str) -> str:
    """Return the path of a program, from this environment or the PATH."""
    found = shutil.which(name, path=f"{BIN}") or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        unavailable(f"{name} is not installed")
    return found


def passes(*command: str) -> str:
    """Run a check, and return its output."""
    done = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "kubernetes" / f"{name}.yaml").read_text(encoding="utf-8"))


def environments() -> dict[str, dict[str, str]]:
    """Return the variables of otpkit that each kind of deployment sets."""
    unit = re.findall(r"^Environment=(OTPKIT_\w+)=(.*)$", unit_text(), re.MULTILINE)
    (container,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    return {
        "compose": compose()["services"]["otpkit"]["environment"],
        "systemd": dict(unit),
        "kubernetes": {each["name"]: each["value"] for each in container["env"]},
    }


def unit_text() -> str:
    return (DEPLOY / "otpkit.service").read_text(encoding="utf-8")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program in place of otpkit, which is not installed at that path here."""
    path = tmp_path / "otpkit.service"
    path.write_text(unit_text().replace("/opt/otpkit/bin/otpkit", "/bin/true"), encoding="utf-8")
    return path


def test_hadolint_passes_the_dockerfile() -> None:
    assert passes(tool("hadolint"), "Dockerfile") == ""


def test_compose_file_fits_the_specification() -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_manifests_fit_kubernetes() -> None:
    passes(tool("kubernetes-validate"), "--strict", *map(str, MANIFESTS))
    kinds = {manifest(path.stem)["kind"] for path in MANIFESTS}
    assert kinds == {
        *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service")
    }


def test_systemd_knows_every_line_of_the_unit(unit: Path) -> None:
    assert passes(tool("systemd-analyze"), "verify", "--man=no", str(unit)) == ""


def test_systemd_rates_the_unit_as_little_exposed(unit: Path) -> None:
    printed = passes(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"exposure level for otpkit.service: ([0-9.]+)", printed)
    assert found
    assert float(found[1]) < EXPOSURE


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    passes("env", f"HOME={tmp_path}", tool("caddy"), "validate", "--adapter", "caddyfile", "--config", "Caddyfile")


def test_caddy_keeps_the_metrics_and_the_console_inside(tmp_path: Path) -> None:
    adapted = passes("env", f"HOME={tmp_path}", tool("caddy"), "adapt", "--config", "Caddyfile")
    assert all(f'"{path}"' in adapted for path in ("/metrics", "/console", "/console/*"))


def test_settings_are_whole_with_the_secrets_of_files(tmp_path: Path) -> None:
    """The file, with the variables that each kind of deployment sets, is all that the service needs."""
    config = DEPLOY / "otpkit.toml"
    for kind, variables in environments().items():
        environ = {}
        for number, (name, value) in enumerate(variables.items()):
            if name.endswith(SUFFIX):
                secret = tmp_path / f"{kind}-{number}"
                secret.touch(0o400)
                secret.chmod(0o600)
                secret.write_text(hashlib.sha256(name.encode()).hexdigest() + "\n")
                environ[name] = str(secret)
            else:
                environ[name] = value
        if kind == "kubernetes":
            config = tmp_path / "kubernetes.toml"
            config.write_text(manifest("configmap")["data"]["otpkit.toml"], encoding="utf-8")
        found = read_settings(environ, str(config), serves=True)
        assert (found.otp["gateway"].name, found.service.forwarded_hops) == ("alidayu", 1), kind
        assert {key.name: set(key.purposes) for key in found.keys} == {"shop": {"signup"}, "prometheus": set()}


def test_no_file_holds_a_secret() -> None:
    """Secrets are files. A variable that may hold one has `_FILE`, but for the URL of a store without a password."""
    for kind, variables in environments().items():
        assert [name for name in variables if takes_file(name)] in ([], ["OTPKIT_REDIS_URL"]), kind
        assert "@" not in variables.get("OTPKIT_REDIS_URL", "")
    settings = tomllib.loads((DEPLOY / "otpkit.toml").read_text(encoding="utf-8"))
    assert not {"secret", "index_secret"} & settings.keys()
    assert [name for name in settings["alidayu"] if "secret" in name] == []


def test_variables_of_the_files_are_settings() -> None:
    known = {setting.variable for setting in known_settings().values()}
    assert {name for variables in environments().values() for name in variables} <= known


def test_secrets_in_kubernetes_are_the_group_s() -> None:
    """The kubelet adds the group's bit, so the file has mode 0440, which otpkit takes."""
    spec = manifest("deployment")["spec"]["template"]["spec"]
    (secret,) = [each["secret"] for each in spec["volumes"] if "secret" in each]
    assert secret["defaultMode"] == stat.S_IRUSR
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] == USER


def test_every_deployment_runs_as_the_same_user_on_a_read_only_root() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"\nUSER {USER}:{USER}\n" in dockerfile
    assert compose()["services"]["otpkit"]["read_only"]
    (container,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"DynamicUser=yes", "ProtectSystem=strict"} <= set(unit_text().splitlines())


def test_store_forgets_nothing() -> None:
    command = compose()["services"]["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_version_is_the_package_s() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    (container,) = manifest("deployment")["spec"]["template"]["spec"]["containers"]
    assert f"\nARG VERSION={version}\n" in dockerfile
    assert compose()["services"]["otpkit"]["image"] == f"otpkit:{version}"
    assert container["image"].endswith(f"/otpkit:{version}")


def test_files_that_compose_mounts_are_there() -> None:
    found = compose()
    mounted = [each["file"] for each in found["configs"].values() if "file" in each]
    mounted += [
        volume.partition(":")[0]
        for service in found["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert len(mounted) >= 4
    assert [path for path in mounted if not (DEPLOY / path).is_file()] == []


def test_prometheus_is_that_of_the_monitoring_kit() -> None:
    """But for the address: in a container, the service is not at 127.0.0.1."""
    own = (ROOT / "examples" / "monitoring" / "prometheus.yml").read_text(encoding="utf-8")
    assert "127.0.0.1:8000" in own
    found = yaml.safe_load(compose()["configs"]["prometheus"]["content"])
    assert found == yaml.safe_load(own.replace("127.0.0.1:8000", "otpkit:8000"))
    key = found["scrape_configs"][0]["authorization"]["credentials_file"]
    targets = [each["target"] for each in compose()["services"]["prometheus"]["secrets"]]
    assert targets == [f"/etc/prometheus/{key}"]
