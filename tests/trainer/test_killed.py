import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_ten_kills_at_random_moments_change_no_loss(tmp_path):
    script = [sys.executable, str(HERE / "killed_trainings.py"), str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] == 10
    assert len(found["whole"]["losses"]) == 300
    assert found["parts"] == found["whole"]
    assert not [name for name in found["left"] if name.startswith(".writing")]
