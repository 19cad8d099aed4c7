"""Forks trainings on demand: lines of JSON in, a line of JSON out for each.

{"start": {...}} starts one and answers with its process id; {"wait": pid} answers with its exit
code. Importing torch takes seconds and forking milliseconds.
"""

import json
import os
import sys
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import lightning_fabric  # noqa: E402, F401
import torch  # noqa: E402
import toy  # noqa: E402

from facelab import cli  # noqa: E402
from facelab.engine import methods  # noqa: E402
from facelab.engine.loop import train  # noqa: E402
from facelab.engine.settings import Settings  # noqa: E402

sys.modules["engine_toy"] = toy


def child(order: dict) -> None:
    """Do what an order says: a command line, or a training of the toy."""
    file = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(order["environment"])
    if "command" in order:
        methods.METHODS["toy"] = "engine_toy:Toy"
        cli.main(order["command"])
    method = toy.toy(**order.get("config", {}))
    settings = Settings(**order["settings"])
    train(method, toy.Noise(), settings, order["folder"], resume=True, progress=False)


def born(order: dict) -> int:
    """Fork, and have the child do what the order says."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        child(order)
        status = 0
    except SystemExit as error:
        status = error.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        said = json.loads(line)
        if "wait" in said:
            answer = os.waitstatus_to_exitcode(os.waitpid(said["wait"], 0)[1])
        else:
            answer = born(said["start"])
        print(json.dumps(answer), flush=True)
