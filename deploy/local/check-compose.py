#!/usr/bin/env python3
"""check-compose.py COMPOSE DOCKERFILE: each service is hardened, and each image has an exact version.

A digest would be more exact. It differs for each platform and cannot be looked up without the registry.
"""

import re
import sys

from ruamel.yaml import YAML

# major.minor at least, and no name that moves, like `latest` or `17-bookworm`.
EXACT = re.compile(r"^[^:@]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$")

RULES = [
    ("cap_drop must be [ALL]", lambda s: s.get("cap_drop") == ["ALL"]),
    ("cap_add must not be set", lambda s: "cap_add" not in s),
    ("privileged must not be set", lambda s: "privileged" not in s),
    ("security_opt must have no-new-privileges:true",
     lambda s: "no-new-privileges:true" in s.get("security_opt", [])),
    ("read_only must be true", lambda s: s.get("read_only") is True),
    ("init must be true", lambda s: s.get("init") is True),
    ("pids_limit must be set", lambda s: isinstance(s.get("pids_limit"), int) and s["pids_limit"] > 0),
    ("mem_limit must be set", lambda s: bool(s.get("mem_limit"))),
    ("image must have an exact version", lambda s: "build" in s or EXACT.match(s.get("image", ""))),
]


def faults(service):
    return [rule for rule, holds in RULES if not holds(service)]


def base_images(dockerfile):
    """Images of FROM lines, without the stages of the file itself."""
    lines = re.findall(r"^FROM\s+(\S+)(?:\s+AS\s+(\S+))?", dockerfile, re.MULTILINE | re.IGNORECASE)
    stages = {stage for _, stage in lines}
    return [image for image, _ in lines if image not in stages]


def main():
    compose_path, dockerfile_path = sys.argv[1:]
    assert len(faults({"image": "postgres:17-bookworm", "cap_add": ["SYS_ADMIN"]})) == 8, "each rule can fail"
    with open(compose_path) as file:
        services = YAML(typ="safe").load(file)["services"]
    with open(dockerfile_path) as file:
        images = base_images(file.read())
    found = [f"{compose_path}: {name}: {fault}" for name, s in services.items() for fault in faults(s)]
    moving = [image for image in images if not EXACT.match(image)]
    found += [f"{dockerfile_path}: {image} has no exact version" for image in moving]
    if not services or not images:
        found.append("there is nothing to check")
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))


main()
