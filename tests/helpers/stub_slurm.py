"""SLURM's commands as scripts: each job starts at once, in the background of this machine."""

import shlex
from pathlib import Path

SBATCH = r"""
if [ -e "$state/refusal" ]; then cat "$state/refusal" >&2; exit 1; fi
number=$(( 10 + $(ls "$state/scripts" | wc -l) ))
cp "$1" "$state/scripts/$number"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\)%.*/\1/p' "$1")
for task in $(seq 0 "${last:-0}"); do
  id=$number${last:+_$task}
  touch "$state/queue/$id"
  (
    export SLURM_JOB_ID=$number SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0
    export SLURM_PROCID=0 SLURM_LOCALID=0 JOB_FILES=$id
    [ -z "$last" ] || export SLURM_ARRAY_JOB_ID=$number SLURM_ARRAY_TASK_ID=$task
    timeout 60 bash "$1"
    rm "$state/queue/$id"
  ) >/dev/null 2>&1 &
done
echo "Submitted batch job $number"
"""
# srun --unbuffered --output FILE --error FILE COMMAND; the names of files hold %j or %A_%a.
SRUN = r"""
named() { echo "$1" | sed "s/%j\|%A_%a/$JOB_FILES/; s/%t/0/"; }
output=$(named "$3") error=$(named "$5")
shift 5
exec "$@" >>"$output" 2>>"$error"
"""
SQUEUE = r"""
if [ -e "$state/silence" ]; then cat "$state/silence" >&2; exit 1; fi
[ "$*" = "--me --noheader --array --format=%i %T" ] || exit 2
for id in $(ls "$state/queue"); do echo "$id RUNNING"; done
"""


class StubSlurm:
    """The scripts in a folder, which a test puts first on PATH.

    Attributes:
        refusal: what `sbatch` answers in place of submitting, if the file is there.
        silence: the same of `squeue`.
    """

    def __init__(self, folder: Path) -> None:
        self.commands = folder / "bin"
        self._state = folder / "state"
        self.refusal, self.silence = self._state / "refusal", self._state / "silence"
        for part in (self.commands, self._state / "queue", self._state / "scripts"):
            part.mkdir(parents=True)
        for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("squeue", SQUEUE)):
            file = self.commands / name
            file.write_text(f"#!/bin/bash\nstate={shlex.quote(str(self._state))}\n{script}")
            file.chmod(0o755)

    @property
    def scripts(self) -> list[str]:
        """The scripts that were submitted, in order."""
        return [file.read_text() for file in sorted((self._state / "scripts").iterdir())]
