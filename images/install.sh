#!/bin/sh
# Installs Forebay with the packages of one set into /opt/forebay, and makes the user that it runs as. The tools' image is at /mnt.
set -eu
set_name=$1
uv=/mnt/tools/venv/bin/uv
export UV_DEFAULT_INDEX="${PIP_INDEX_URL:-}" UV_LINK_MODE=copy
[ -n "$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX

"$uv" venv --quiet --no-cache --python "$(command -v python3)" /opt/forebay
install() { "$uv" pip install --quiet --no-cache --python /opt/forebay/bin/python "$@"; }
install --require-hashes --requirement "/mnt/source/requirements/$set_name.txt"
install --no-deps /mnt/tools/wheel/*.whl

# Tests and C++ headers of libraries are of no use at run time; numpy.testing, which others import, needs numpy's.
find /opt/forebay -type d \( -name tests -o -name include \) -path '*site-packages*' -not -path '*/numpy/*' -prune -exec rm -rf {} +
# The root file system is read-only later: nothing could be compiled then.
/opt/forebay/bin/python -m compileall -q -j 0 /opt/forebay/lib > /dev/null || true

echo 'forebay:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd
echo 'forebay:x:10001:' >> /etc/group
