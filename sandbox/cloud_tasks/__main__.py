"""Runs the stand-in alone: `python -m sandbox.cloud_tasks --port 8123`."""

from __future__ import annotations

import argparse
import threading

from sandbox.cloud_tasks import CloudTasks


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.cloud_tasks", description="Cloud Tasks, a stand-in."
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    tasks = CloudTasks(port=parser.parse_args().port)
    tasks.start()
    try:
        print(f"CLOUD_TASKS_EMULATOR_HOST={tasks.host}", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        tasks.stop()


if __name__ == "__main__":
    main()
