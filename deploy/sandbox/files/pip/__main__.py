"""Lists packages as pip does. Says at once that nothing can be installed: pip would try for a minute."""

import importlib.metadata
import signal
import sys

ADVICE = (
    "pip: the sandbox has no network, so nothing can be downloaded or installed. Use the packages that are "
    "here (pip list). A module that you write in /workspace can be imported without an installation."
)


def versions():
    found = importlib.metadata.distributions()
    return sorted({(one.name, one.version) for one in found}, key=lambda pair: pair[0].lower())


def show(names):
    asked = {name.lower().replace("_", "-") for name in names}
    found = [pair for pair in versions() if pair[0].lower().replace("_", "-") in asked]
    print("\n".join(f"Name: {name}\nVersion: {version}" for name, version in found))
    return 0 if found else 1


def main(arguments):
    command = next((one for one in arguments if not one.startswith("-")), "")
    if command == "list":
        print("\n".join(f"{name} {version}" for name, version in versions()))
    elif command == "freeze":
        print("\n".join(f"{name}=={version}" for name, version in versions()))
    elif command == "show":
        return show(arguments[arguments.index(command) + 1:])
    elif command == "check" or "--version" in arguments or "-V" in arguments:
        print("this stands for pip in capi's sandbox")
    else:
        print(ADVICE, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    # `pip list | head` ends as with other programs.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
