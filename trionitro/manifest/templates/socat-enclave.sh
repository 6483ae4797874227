#!/bin/sh
# The enclave's half of $name with socat, for those who stay with it.
set -eu

ip link set dev lo up
$addresses
cat >>/etc/hosts <<'END_OF_HOSTS'
$hosts
END_OF_HOSTS

$commands

$mounts
$environment
cd -- $directory
exec $command
