# The common part of the readers. The worker puts the limits (NAME = NUMBER) above it, and a reader below,
# which defines `read(text)`. The program reads DOCUMENT and writes ANSWER; see answer.rs.

import json
import os
import resource
import signal
import sys
import warnings

DOCUMENT = "/workspace/inputs/document"
ANSWER = "/workspace/answer.json"


class Ended(Exception):
    """The document has no text to show, for a reason that has a name."""

    def __init__(self, outcome, **more):
        super().__init__(outcome)
        self.answer = {"outcome": outcome, **more}


class Full(Exception):
    """The text has as many bytes as it may have."""


class OutOfTime(BaseException):
    """No handler of a library catches it."""


class Text:
    """The text of the document so far, and facts about the document."""

    def __init__(self):
        self.lines = []
        self.left = TEXT_BYTES
        self.facts = []

    def add(self, line):
        raw = line.encode("utf-8", "replace") + b"\n"
        if len(raw) > self.left:
            self.lines.append(raw[: self.left].decode("utf-8", "ignore"))
            self.left = 0
            raise Full
        self.left -= len(raw)
        self.lines.append(raw.decode())

    def fact(self, fact):
        self.facts.append(fact)

    def answer(self, cut=None):
        if cut:
            self.fact(cut)
        return {"outcome": "text", "text": "".join(self.lines), "facts": self.facts}


def stop(_signal, _frame):
    raise OutOfTime


def limit():
    """The worker's libraries are not asked: a hostile document must not reach the limits of the sandbox."""
    # Messages of libraries are of no use to the model.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    warnings.simplefilter("ignore")
    # Libraries import these if they are there. They take time and memory, and no reader needs them.
    sys.modules["numpy"] = sys.modules["pandas"] = sys.modules["PIL"] = None
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    signal.signal(signal.SIGALRM, stop)
    # Again each second: a library may have caught the first one.
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 1)


def unlimit():
    signal.setitimer(signal.ITIMER_REAL, 0)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def answer_of(read, text):
    try:
        read(text)
        unlimit()
        return text.answer()
    except Full:
        unlimit()
        return text.answer(f"only the first {TEXT_BYTES} bytes of its text were read")
    except OutOfTime:
        unlimit()
        if text.lines:
            return text.answer(f"only the beginning was read, which took {SECONDS} s")
        return {"outcome": "too_slow"}
    except MemoryError:
        unlimit()
        return {"outcome": "too_much_memory"}
    except Ended as end:
        unlimit()
        return end.answer
    except ImportError as error:
        unlimit()
        return {"outcome": "missing_package", "name": str(error.name)}
    except Exception as error:
        unlimit()
        return {"outcome": "damaged", "why": f"{type(error).__name__}: {error}"[:200]}


def main(read):
    limit()
    answer = json.dumps(answer_of(read, Text()), ensure_ascii=False)
    with open(ANSWER, "wb") as file:
        file.write(answer.encode("utf-8", "replace"))
