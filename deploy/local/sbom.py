#!/usr/bin/env python3
"""Lists all third-party parts, from Cargo.lock and the lists of packages of Python and npm.

.local/sbom.json is a CycloneDX 1.6 document. .local/THIRD-PARTY.txt has the licence of each part, and the
licence texts that the crates contain. The same lists give the same bytes.
"""

import hashlib
import json
import re
import subprocess
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
# The platforms of the images.
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
SERVICES = ["gateway", "run-worker", "webhook-dispatcher"]
# The scope says whether a part is in the images: required, or excluded because only
# tests, checks and `make up` use it.
PYTHON = {
    "deploy/sandbox/requirements.txt": "required",
    "deploy/sandbox/requirements-full.txt": "required",
    "deploy/local/axe.txt": "excluded",
    "deploy/local/container-linters.txt": "excluded",
    "deploy/local/model.txt": "excluded",
    "deploy/local/model-weights.txt": "excluded",
    "deploy/local/node.txt": "excluded",
    "deploy/local/schemathesis.txt": "excluded",
    "deploy/local/standard-webhooks.txt": "excluded",
}
# All of them are excluded: only tests use Node.js.
NPM_LISTS = "deploy/local/*/package-lock.json"
LICENCE_FILES = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)


def cargo_metadata():
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += [word for target in TARGETS for word in ("--filter-platform", target)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def shipped(metadata):
    """The ids of the packages that the services are built from."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    found = set()
    todo = [id for id in metadata["workspace_members"] if names[id] in SERVICES]
    while todo:
        id = todo.pop()
        if id not in found:
            found.add(id)
            # A normal dependency has the kind null. Build scripts and macros run only while it is built.
            todo += [edge["pkg"] for edge in nodes[id]["deps"]
                     if any(kind["kind"] is None for kind in edge["dep_kinds"])]
    return found


def expression(licence):
    """Old crates write `MIT/Apache-2.0` for `MIT OR Apache-2.0`."""
    return re.sub(r"\s*/\s*", " OR ", licence)


def crates(metadata):
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    in_images = shipped(metadata)
    for package in metadata["packages"]:
        if package["id"] in metadata["workspace_members"]:
            continue
        name, version = package["name"], package["version"]
        part = {
            "type": "library",
            "bom-ref": f"pkg:cargo/{name}@{version}",
            "name": name,
            "version": version,
            "scope": "required" if package["id"] in in_images else "excluded",
            "purl": f"pkg:cargo/{name}@{version}",
            "licenses": [{"expression": expression(package["license"])}],
        }
        if checksum := checksums.get((name, version)):
            part["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package.get("repository"):
            part["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        yield part


def python_packages():
    for path, scope in PYTHON.items():
        licence = None
        for line in (ROOT / path).read_text().splitlines():
            if line.startswith("# licence: "):
                licence = line.removeprefix("# licence: ")
            elif match := re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line):
                name, version = re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]
                if licence is None:
                    raise SystemExit(f"{path}: {name} needs a line `# licence: …` before it")
                purl = f"pkg:pypi/{name}@{version}"
                yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope,
                       "purl": purl, "licenses": [{"expression": licence}]}
                licence = None


def npm_packages():
    for path in sorted(ROOT.glob(NPM_LISTS)):
        for place, package in json.loads(path.read_text())["packages"].items():
            if place:
                name, version = place.rpartition("node_modules/")[2], package["version"]
                purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
                yield {"type": "library", "bom-ref": purl, "name": name, "version": version,
                       "scope": "excluded", "purl": purl, "licenses": [{"expression": package["license"]}]}


def edges(metadata):
    purls = {p["id"]: f"pkg:cargo/{p['name']}@{p['version']}" for p in metadata["packages"]
             if p["id"] not in metadata["workspace_members"]}
    own = set()
    for node in metadata["resolve"]["nodes"]:
        needs = sorted({purls[id] for id in node["dependencies"] if id in purls})
        if node["id"] in purls:
            yield {"ref": purls[node["id"]], "dependsOn": needs}
        else:
            own.update(needs)
    yield {"ref": "capi", "dependsOn": sorted(own)}


def document(metadata, parts):
    version = next(p["version"] for p in metadata["packages"] if p["name"] == "gateway")
    body = {
        "metadata": {"component": {
            "type": "application", "bom-ref": "capi", "name": "capi", "version": version,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        }},
        "components": parts,
        "dependencies": sorted(edges(metadata), key=lambda edge: edge["ref"]),
    }
    # From the content, and no time: two documents differ only if the parts do.
    content = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"capi:{content}")
    serial_number = f"urn:uuid:{serial}"
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": serial_number, "version": 1}
    return {**head, **body}


def licence_texts(metadata):
    """Each text once, with the crates that contain it."""
    texts = {}
    for package in metadata["packages"]:
        if package["id"] in metadata["workspace_members"]:
            continue
        for path in sorted(Path(package["manifest_path"]).parent.iterdir()):
            if path.is_file() and LICENCE_FILES.match(path.name):
                text = path.read_text(errors="replace").strip()
                texts.setdefault(text, set()).add(f"{package['name']} {package['version']}")
    return sorted((sorted(names), text) for text, names in texts.items())


def third_party(metadata, parts):
    lines = ["Third-party parts of capi, and those that only its tests and checks use (excluded)."]
    lines += [f"{p['name']} {p['version']} ({p['purl'].split('/')[0][4:]}, {p['scope']}): "
              f"{p['licenses'][0]['expression']}" for p in parts]
    for names, text in licence_texts(metadata):
        lines += ["", "=" * 100, ", ".join(names), "", text]
    return "\n".join(lines) + "\n"


def main():
    metadata = cargo_metadata()
    found = {}
    for part in [*crates(metadata), *python_packages(), *npm_packages()]:
        known = found.setdefault(part["bom-ref"], part)
        if part["scope"] == "required":
            known["scope"] = "required"
    parts = [found[ref] for ref in sorted(found)]
    LOCAL.mkdir(exist_ok=True)
    (LOCAL / "sbom.json").write_text(json.dumps(document(metadata, parts), indent=1) + "\n")
    (LOCAL / "THIRD-PARTY.txt").write_text(third_party(metadata, parts))
    print(f"{len(parts)} parts: .local/sbom.json, .local/THIRD-PARTY.txt")


main()
