"""The pool of processes, with workers that do not train."""

import json
import os
import subprocess
import sys
import time

import pytest

from asnn.core import AsnnError
from asnn.sweeps import Definition, SweepFolder, pool
from asnn.sweeps.folder import make_folder
from asnn.sweeps.plan import Member

WORKER = """
import json, os, signal, sys, time
task = json.load(sys.stdin)
what = task["recipe"]["what"]
began = time.monotonic()
if what == "error":
    print(json.dumps({"error": {"what": "it broke", "why": "because", "remedy": "mend it"}}))
    sys.exit(1)
if what == "bug":
    raise ValueError("a bug")
if what == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "waits":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    time.sleep(60)
time.sleep(0.3)
environment = {name: os.environ[name] for name in sys.argv[1:]}
with open(task["run"] + ".json", "w") as file:
    json.dump({"began": began, "ended": time.monotonic(), **environment, **task}, file)
"""


class Recipe:
    def __init__(self, what):
        self.what = what

    def document(self):
        return {"what": self.what}


class Observer:
    def __init__(self):
        self.done = []
        self.most = 0

    def member_done(self, member, failure):
        self.done.append(member.name)

    def waiting(self, running):
        self.most = max(self.most, len(running))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "WORKER", [sys.executable, "-c", WORKER, *pool.THREADS])

    def call(*what, jobs=2, stop=lambda: False):
        members = [Member(f"m{i}", i, (), Recipe(each)) for i, each in enumerate(what)]
        observer = Observer()
        failures = pool.run_members(
            members, SweepFolder(tmp_path), "test", observer, jobs=jobs, stop=stop
        )
        return failures, observer

    return call


def written(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("m*.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_at_most_jobs_members_at_a_time(run, tmp_path, jobs):
    failures, observer = run(*["fine"] * 4, jobs=jobs)
    assert failures == {} and sorted(observer.done) == ["m0", "m1", "m2", "m3"]
    times = [(each["began"], each["ended"]) for each in written(tmp_path)]
    together = max(sum(b <= begin < e for b, e in times) for begin, _ in times)
    assert together <= jobs and observer.most == jobs


@pytest.mark.slow
def test_threads_are_a_share_of_the_cores(run, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [pool.threads_each(jobs) for jobs in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [pool.threads_each(jobs) for jobs in (1, 2, 3)] == [3, 3, 2]
    run("fine", jobs=2)
    (task,) = written(tmp_path)
    assert {task[name] for name in pool.THREADS} == {"3"} and task["threads"] == 3
    assert task["parent"] == os.getpid()


@pytest.mark.slow
def test_failure_does_not_stop_other_members(run):
    failures, observer = run("error", "bug", "dies", "fine")
    assert sorted(observer.done) == ["m0", "m1", "m2", "m3"]
    assert failures["m0"] == pool.Failure("it broke", "because", "mend it")
    assert failures["m1"].what == "its process ended with 1"
    assert failures["m1"].why == "ValueError: a bug" and "m1.log" in failures["m1"].remedy
    assert failures["m2"].what == "its process was stopped by SIGKILL"
    assert "m3" not in failures


@pytest.mark.slow
def test_stop_signals_running_members_and_starts_no_other(run, tmp_path):
    begin = time.monotonic()
    failures, observer = run("waits", "waits", "fine", stop=lambda: time.monotonic() > begin + 1)
    assert time.monotonic() - begin < 20
    assert failures == {} and observer.done == [] and written(tmp_path) == []


def test_workers_end_after_an_error_of_the_pool(run, tmp_path):
    class Broken(Observer):
        def waiting(self, running):
            raise RuntimeError("stop")

    begin = time.monotonic()
    members = [Member("m0", 0, (), Recipe("waits"))]
    with pytest.raises(RuntimeError, match="stop"):
        pool.run_members(
            members, SweepFolder(tmp_path), "test", Broken(), jobs=1, stop=lambda: False
        )
    assert time.monotonic() - begin < 20


@pytest.mark.slow
def test_folder_is_locked_once(tmp_path, monkeypatch):
    monkeypatch.setattr("asnn.sweeps.folder.PATIENCE", 0.5)  # seconds for the orphan
    folder = make_folder(Definition("x", {}), tmp_path / "a")
    with folder.lock() as lock_fd:
        assert lock_fd is not None
        with (
            pytest.raises(AsnnError, match="a sweep is already running in"),
            SweepFolder(tmp_path / "a").lock(),
        ):
            pass
        # A worker that outlives its sweep keeps the lock.
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=(lock_fd,))
    try:
        with pytest.raises(AsnnError, match="a sweep is already running in"), folder.lock():
            pass
    finally:
        orphan.kill()
        orphan.wait()
    with folder.lock():
        pass
