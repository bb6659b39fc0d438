# shellcheck shell=bash
# Programs from Debian's packages, for the scripts beside this file, which source it.

# debian_program NAME PACKAGE DIR: prints where the program is: on PATH, else unpacked below DIR, which
# takes no rights but to write there.
debian_program() {
  local name=$1 package=$2 dir=$3/$2
  if command -v "$name"; then
    return
  fi
  if [[ ! -x $dir/usr/bin/$name ]]; then
    if ! command -v apt-get >/dev/null; then
      echo "$name is not on PATH, and there is no apt-get to fetch it (package $package)" >&2
      return 1
    fi
    echo "fetching $name (Debian package $package)" >&2
    rm -rf "$dir" "$dir.deb" && mkdir -p "$dir" "$dir.deb"
    # A fresh machine has no lists of packages; only root can get them.
    (cd "$dir.deb" && { apt-get download --quiet "$package" || {
      apt-get update --quiet && apt-get download --quiet "$package"
    }; }) >&2
    dpkg-deb --extract "$dir.deb"/*.deb "$dir"
    rm -rf "$dir.deb"
  fi
  echo "$dir/usr/bin/$name"
}
