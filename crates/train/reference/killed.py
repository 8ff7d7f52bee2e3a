# /// script
# requires-python = ">=3.10"
# dependencies = []
# ///
"""Kills a run at random moments until it has ended, and holds it against one that was left alone.

    python crates/train/reference/killed.py target/release/train OUT --seconds 12 -- \
        --data DATA --weights FILE --recipe RECIPE --folds 5 --fold 0 --checkpoint-every 0.05

The run goes twice, into OUT/whole and OUT/killed, the second with SIGKILL after a random part of
--seconds each time. What must be equal to the bit: weights, predictions, every record but its wall
time. Prints where each kill came: records written, and whether a checkpoint was on its way.
"""

import argparse
import hashlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import time


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def records(out):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    parsed = [json.loads(line) for line in lines]
    for record in parsed:
        record.pop("seconds", None)
    return parsed


def results(out):
    folds = sorted(path.parent for path in out.glob("fold-*/result.json"))
    files = ["weights.safetensors", "predictions.csv"]
    return {
        "folds": [fold.name for fold in folds],
        "files": [digest(fold / name) for fold in folds for name in files],
        "records": records(out),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="longest time until a kill")
    parser.add_argument("--seed", type=int, default=0)
    if "--" not in sys.argv:
        parser.error("the arguments of train stand after --")
    split = sys.argv.index("--")
    given, arguments = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]

    def start(name):
        command = [given.program, *arguments, "--out", str(given.out / name)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    if given.out.exists():
        sys.exit(f"{given.out} is there already, and its runs are done; choose another")
    begin = time.time()
    whole = start("whole")
    _, words = whole.communicate()
    if whole.returncode != 0:
        sys.exit(f"the run that was left alone failed: {words.decode()}")
    print(f"left alone: {time.time() - begin:.0f} s")

    draw = random.Random(given.seed)
    killed = given.out / "killed"
    begin, kills, writing = time.time(), 0, 0
    while True:
        run = start("killed")
        try:
            _, words = run.communicate(timeout=draw.uniform(0, given.seconds))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.communicate()
        if run.returncode == 0:
            break
        if run.returncode != -signal.SIGKILL:
            sys.exit(f"the run failed when it was to go on: {words.decode()}")
        kills += 1
        log = killed / "metrics.jsonl"
        lines = log.read_text().count("\n") if log.exists() else 0
        is_writing = any(killed.glob("fold-*/.partial-*"))
        writing += is_writing
        print(f"kill {kills}: {lines} records{', a checkpoint half-written' if is_writing else ''}")
    print(f"killed {kills} times, {writing} of them while writing: {time.time() - begin:.0f} s")
    left, right = results(given.out / "whole"), results(killed)
    differs = [name for name in left if left[name] != right[name]]
    if differs:
        sys.exit(f"differs: {', '.join(differs)}")
    print(f"equal to the bit: {len(left['files'])} files, {len(left['records'])} records")


if __name__ == "__main__":
    main()
