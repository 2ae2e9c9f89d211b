import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Files may grow to 60 kB: what step 0 saves has no optimizer's states, what follows has.
SCRIPT = """
import json, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from small_trainings import small_job, train_small
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
run = train_small(small_job(steps=4, checkpoint_every=2, checkpoint=sys.argv[2]))
print(json.dumps(run.to_dict()))
"""


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(tmp_path):
    from memorymark.trainer.checkpoint_files import newest_checkpoint

    command = [sys.executable, "-c", SCRIPT, str(HERE), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    run = json.loads(done.stdout.splitlines()[-1])
    assert run["stopped_by"] == "disk" and "step 0" in run["error"] and "is whole" in run["error"]
    assert newest_checkpoint(tmp_path).state["done"] == 0
    assert not list(tmp_path.glob(".writing*"))
