#!/usr/bin/env bash
# Slurm and munge from the distribution, for tests/robustness/test_slurm.py; starts no service.
set -euo pipefail
missing=$(for program in munged slurmctld slurmd sbatch; do command -v "$program" > /dev/null || echo "$program"; done)
if [ "$(id -u)" != 0 ]; then
  echo "error: make test-slurm starts Slurm's daemons, which takes root" >&2
  exit 1
fi
[ -n "$missing" ] || exit 0
if ! command -v apt-get > /dev/null; then
  echo "error: make test-slurm needs munge and Slurm (slurmctld, slurmd and the commands); not here:" $missing >&2
  echo "With apt-get it installs them itself; here, install them by hand" >&2
  exit 1
fi
# Debian's way to keep packages from starting their services (the tests start daemons of their own).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge > /dev/null
