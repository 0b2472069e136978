"""Shows that defectoscope and Python's huggingface_hub share one cache and one protocol.

    python tools/check_hub_compatibility.py build/release

needs the two programs `defectoscope` and `hub_test_server` there, and huggingface_hub and transformers
(tools/requirements.txt). Nothing but 127.0.0.1 is talked to. What it prints is kept in docs/hub.md.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

REPO = "org/phantom"


def check(what, holds):
    print(f"{'ok  ' if holds else 'FAIL'}  {what}", flush=True)
    if not holds:
        sys.exit(1)


class Server:
    """build/.../hub_test_server; commands go to its standard input, its log comes at the end."""

    def __init__(self, build, folder):
        self.process = subprocess.Popen(
            [build / "src/hub/hub_test_server", REPO, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.endpoint = self.process.stdout.readline().strip()

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"

    def seen(self):
        """Requests since last asked."""
        self.process.stdin.write("seen\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().strip()) != "done":
            lines.append(line)
        return lines


def environment(cache, **more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return kept | {"HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | more


def run(command, env):
    outcome = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True)
    if outcome.returncode != 0:
        print(outcome.stdout, outcome.stderr)
    return outcome


def python(code, env):
    return run([sys.executable, "-c", code], env).stdout.strip()


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    program = build / "defectoscope"
    scratch = pathlib.Path(tempfile.mkdtemp())
    model = scratch / "phantom"
    subprocess.run([program, "phantom", "--out", model], check=True, stdout=subprocess.DEVNULL)
    server = Server(build, model)
    versions = python("import huggingface_hub as h, transformers as t; print(h.__version__, t.__version__)", None)
    print("huggingface_hub {}, transformers {}, {}".format(*versions.split(), run([program, "--version"], None).stdout.strip()))

    print("\n1. defectoscope downloads, huggingface_hub reads")
    ours = scratch / "ours"
    folder = run([program, "download", REPO], environment(ours, HF_ENDPOINT=server.endpoint)).stdout.strip()
    offline = environment(ours, HF_HUB_OFFLINE="1")
    found = python(f"from huggingface_hub import snapshot_download; print(snapshot_download('{REPO}'))", offline)
    check("snapshot_download, offline, finds the same folder", folder != "" and found == folder)
    found = python(
        f"from huggingface_hub import hf_hub_download; print(hf_hub_download('{REPO}', 'model.safetensors'))", offline
    )
    check("hf_hub_download, offline, finds the weights", found == folder + "/model.safetensors")
    found = python(
        "from huggingface_hub import scan_cache_dir; s = scan_cache_dir(); r = list(s.repos)[0];"
        "print(len(s.warnings), r.repo_id, sorted(list(r.revisions)[0].refs))",
        offline,
    )
    check(f"scan_cache_dir finds no fault: {found}", found == f"0 {REPO} ['main']")
    found = python(f"from transformers import AutoConfig; print(AutoConfig.from_pretrained('{REPO}').model_type)", offline)
    check(f"transformers' AutoConfig, offline, reads the model's config: {found}", found == "llama")
    fetched = contents(pathlib.Path(folder))
    check("the files are the server's, byte for byte", all((model / name).read_bytes() == fetched[name] for name in fetched))

    print("\n2. huggingface_hub downloads from the test server, defectoscope reads")
    server.seen()
    theirs = scratch / "theirs"
    their_folder = python(
        f"from huggingface_hub import snapshot_download; print(snapshot_download('{REPO}'))",
        environment(theirs, HF_ENDPOINT=server.endpoint),
    )
    check("the test server speaks enough of the protocol", contents(pathlib.Path(their_folder)) == contents(model))
    outcome = run([program, "inspect", "hf://" + REPO, "--json"], environment(theirs, HF_HUB_OFFLINE="1"))
    local = run([program, "inspect", model, "--json"], None)
    check("inspect hf://, offline, reads it", outcome.returncode == 0 and local.returncode == 0)
    server.seen()
    run([program, "download", REPO], environment(theirs, HF_ENDPOINT=server.endpoint))
    seen = server.seen()
    check(f"download, online, fetches nothing again: {len(seen)} request, {seen[0].split()[2]}", len(seen) == 1)

    print("\n3. the same layout")
    layout = lambda cache: {
        str(path.relative_to(cache)): os.readlink(path)
        for path in cache.rglob("*")
        if path.is_symlink() and path.name in fetched
    }
    check(f"{len(fetched)} files, the same links to the same blobs", layout(ours) == layout(theirs) and len(layout(ours)) == len(fetched))
    refs = lambda cache: (cache / "hub/models--org--phantom/refs/main").read_bytes()
    check("the same refs", refs(ours) == refs(theirs))
    locks = lambda cache: {path.name for path in (cache / "hub/.locks").rglob("*.lock")}
    check("lock files of the same names", locks(ours) <= locks(theirs) and len(locks(ours)) > 0)

    print("\n4. each waits for the other's lock")
    blob = os.path.basename(os.readlink(pathlib.Path(folder) / "model.safetensors"))
    waiting = scratch / "waiting"
    lock = waiting / "hub/.locks/models--org--phantom" / (blob + ".lock")
    lock.parent.mkdir(parents=True)
    from huggingface_hub.utils import WeakFileLock
    from filelock import Timeout

    with WeakFileLock(lock):
        download = subprocess.Popen(
            [program, "download", REPO], env=environment(waiting, HF_ENDPOINT=server.endpoint), stdout=subprocess.PIPE
        )
        time.sleep(1)
        check("defectoscope waits while huggingface_hub holds the lock", download.poll() is None)
        check("and has not fetched the file", not any("cdn" in line and "model.safetensors" in line for line in server.seen()))
    check("and goes on when it is free", download.wait(20) == 0)
    slow = scratch / "slow"
    lock = slow / "hub/.locks/models--org--phantom" / (blob + ".lock")
    server.say("slow model.safetensors")
    server.seen()
    download = subprocess.Popen(
        [program, "download", REPO], env=environment(slow, HF_ENDPOINT=server.endpoint), stdout=subprocess.DEVNULL
    )
    while not any("cdn" in line and "model.safetensors" in line for line in server.seen()):
        time.sleep(0.05)
    try:
        with WeakFileLock(lock, timeout=1):
            held = False
    except Timeout:
        held = True
    check("huggingface_hub waits while defectoscope fetches", held)
    server.say("go")
    check("and gets it afterwards", download.wait(20) == 0)
    with WeakFileLock(lock, timeout=1):
        pass
    server.process.stdin.close()
    server.process.wait(10)


main()
