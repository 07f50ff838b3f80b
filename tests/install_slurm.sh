#!/usr/bin/env bash
# Slurm and munge from the distribution, for tests/test_slurm.py; starts no service.
set -euo pipefail
missing=$(for program in munged slurmctld slurmd sbatch; do command -v "$program" > /dev/null || echo "$program"; done)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "error: make test-slurm needs munge and Slurm, and these programs are not here:" $missing >&2
  echo "As root on Debian or Ubuntu it installs them itself; else: apt-get install slurm-wlm munge" >&2
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
