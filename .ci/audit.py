"""Audits dependencies: licences and sources always, advisories where a service answers.

Rust: `cargo deny` does it all where it is installed. Compiling it takes minutes, so elsewhere the part of deny.toml
that needs no advisory database (licences, bans, sources) is checked here from `cargo metadata`.
Python: pip-audit asks the package index for advisories; where the index serves none, that is said, and only the
licences are checked.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# Shipped with the server, so copyleft without a linking exception would bind our users.
FORBIDDEN = re.compile(r"\bA?GPL|GNU (Affero )?General Public|proprietary|Commons Clause|SSPL", re.IGNORECASE)


def allows(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be satisfied by the allowed licences."""
    licences = re.findall(r"[()]|\bAND\b|\bOR\b|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))
    words = [word.lower() if word in {"(", ")", "AND", "OR"} else str(word in allowed) for word in licences]
    return bool(eval(" ".join(words), {"__builtins__": {}}))  # words are True, False, and, or, parentheses


def audit_rust_here(rules: dict[str, dict[str, list[object]]]) -> list[str]:
    """Problems of licences, bans and sources."""
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    allowed = {str(name) for name in rules["licenses"]["allow"]}
    banned = {str(entry["crate"] if isinstance(entry, dict) else entry) for entry in rules["bans"]["deny"]}
    members = set(metadata["workspace_members"])
    problems = []
    for package in metadata["packages"]:
        if package["id"] in members:
            continue
        name = f"{package['name']} {package['version']}"
        if package["source"] != REGISTRY:
            problems.append(f"{name}: comes from {package['source']}, not from the registry")
        if package["name"] in banned:
            problems.append(f"{name}: is banned in deny.toml")
        if not package["license"] or not allows(package["license"], allowed):
            problems.append(f"{name}: licence {package['license']!r} is not in deny.toml's list")
    print(f"Rust: licences, bans and sources of {len(metadata['packages']) - len(members)} crates checked")
    return problems


def audit_rust() -> list[str]:
    """Uses cargo-deny where it is installed; else checks what can be checked without it."""
    if not shutil.which("cargo-deny"):
        problems = audit_rust_here(tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8")))
        print("Rust: ADVISORIES NOT CHECKED, cargo-deny is not installed (cargo install cargo-deny --locked)")
        return problems
    deny = ["cargo", "deny", "--log-level=error", "--locked"]
    checks = ["bans", "licenses", "sources"]
    if subprocess.run([*deny, "fetch", "db"], cwd=ROOT, capture_output=True, check=False).returncode == 0:
        checks.append("advisories")
    else:
        print("Rust: ADVISORIES NOT CHECKED, the advisory database is not reached")
    done = subprocess.run([*deny, "check", *checks], cwd=ROOT, check=False)
    return ["cargo deny: see above"] if done.returncode else []


def locked(file: Path) -> list[str]:
    """Names in a lock file."""
    return re.findall(r"^([A-Za-z0-9._-]+)==", file.read_text(encoding="utf-8"), re.MULTILINE)


def licence(package: Distribution) -> str:
    """What a distribution says of its licence, in the newest form that it uses."""
    said = package.metadata.json
    classifiers = [text for text in said.get("classifier", []) if text.startswith("License ::")]
    field = str(said.get("license_expression") or "; ".join(classifiers) or said.get("license") or "").strip()
    return field.splitlines()[0] if field else ""


def audit_python_licences() -> list[str]:
    """Problems of what is shipped with the server."""
    problems, counted = [], 0
    for name in locked(ROOT / "requirements.lock"):
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        counted += 1
        said = licence(package)
        if not said:
            problems.append(f"{name}: states no licence")
        elif FORBIDDEN.search(said):
            problems.append(f"{name}: licence {said!r}")
    print(f"Python: licences of {counted} run-time packages checked; hashes are checked at installation")
    return problems


def audit_python_advisories() -> list[str]:
    """Known vulnerabilities of what is locked, where the index tells."""
    command = [str(BIN / "pip-audit"), "--disable-pip", "--no-deps", "--require-hashes", "--progress-spinner=off"]
    command += ["--format=json", "--timeout=15"]
    for name in ("requirements.lock", "requirements-dev.lock"):
        command += ["--requirement", str(ROOT / name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        print("Python: ADVISORIES NOT CHECKED, the service gave no answer:", run.stderr.strip().splitlines()[-1:])
        return []
    skipped = [package for package in packages if "skip_reason" in package]
    note = "" if not skipped else f"; NOT CHECKED, the index here serves no advisories for them: {len(skipped)}"
    print(f"Python: advisories of {len(packages) - len(skipped)} packages checked{note}")
    return [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {found['fix_versions'] or 'no release'}"
        for package in packages
        for found in package.get("vulns", [])
    ]


def main() -> int:
    """Runs every audit and says what it could not."""
    problems = audit_rust() + audit_python_licences() + audit_python_advisories()
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
