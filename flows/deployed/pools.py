"""The model: for work *pools*, where workers start a process, a container or a Kubernetes job for a run, infra/prefect.yaml says what
`table` says: each row once for each kind of pool. This module prints it; a test compares the two.

    python -m flows.deployed.pools > infra/prefect.yaml
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

from flows.deployed.table import ONE_AT_A_TIME, TABLE

HEAD = """\
# What `gristmill serve` serves, for workers of work pools. Written by: python -m flows.deployed.pools > infra/prefect.yaml
#
#   prefect work-pool create gristmill-process --type process            (or --type docker, --type kubernetes)
#   export GRISTMILL_RECIPE=/work/my.yaml GRISTMILL_NAME=mine GRISTMILL_STORE=/work/.gristmill/store GRISTMILL_FOLDER=/work
#   prefect --no-prompt deploy --prefect-file infra/prefect.yaml --name '{{ $GRISTMILL_NAME }}-process'
#   prefect worker start --pool gristmill-process
#
# Names are compared as they are written here: the quotes keep the shell from them. That deploys all flows, for one kind of pool; one flow
# alone is --name 'flows.deployed.flows.build/{{ $GRISTMILL_NAME }}-process'.
#
# Paths are those that the run sees: in a container, of its volumes. gristmill is installed where the run runs, so nothing is pulled. A
# process begins in GRISTMILL_FOLDER, from which relative paths of the recipe are; Docker mounts GRISTMILL_VOLUME, a folder or a volume, at
# /work, where a container begins. On Kubernetes, mount the store and recipes at /work in the pool's base job template. The image is the
# Dockerfile's target `flow`. The process pool was tried; the other two never were.
"""
KINDS: dict[str, dict[str, Any]] = {
    "process": {"working_dir": "{{ $GRISTMILL_FOLDER }}"},
    "docker": {"image": "gristmill:flow", "volumes": ["{{ $GRISTMILL_VOLUME }}:/work"], "auto_remove": True},
    "kubernetes": {"image": "gristmill:flow", "finished_job_ttl": 3600},
}
"""What a job of a pool of each type is given."""


def description() -> dict[str, Any]:
    """The file as data."""
    deployments = []
    for kind, variables in KINDS.items():
        for row in TABLE:
            deployments.append(
                {
                    "name": f"{{{{ $GRISTMILL_NAME }}}}-{kind}",
                    "entrypoint": row.entrypoint,
                    "description": row.about,
                    "tags": row.tags("{{ $GRISTMILL_NAME }}"),
                    "parameters": row.parameters("{{ $GRISTMILL_RECIPE }}", "{{ $GRISTMILL_STORE }}"),
                    "concurrency_limit": {"limit": ONE_AT_A_TIME.limit, "collision_strategy": ONE_AT_A_TIME.collision_strategy.value},
                    "work_pool": {"name": f"gristmill-{kind}", "job_variables": deepcopy(variables)},
                }
            )
    return {"name": "gristmill", "build": None, "push": None, "pull": [], "deployments": deployments}


if __name__ == "__main__":
    print(HEAD + yaml.safe_dump(description(), sort_keys=False, allow_unicode=True, width=140), end="")
