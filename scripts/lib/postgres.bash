# A PostgreSQL of a script's own: in a folder, on a port of loopback, with one role `kuma`. Sourced, not run.

# find_postgres: where its programs are; the newest of several.
find_postgres() {
  local initdb
  initdb=$(find /usr/lib/postgresql -name initdb -path '*/bin/*' 2>/dev/null | sort -V | tail -n 1)
  initdb=${initdb:-$(command -v initdb)} || return 1
  postgres_programs=$(dirname "$initdb")
}

# as_nobody_special COMMAND...: it refuses to run as root.
as_nobody_special() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$postgres_user" --clear-groups "$@"
  else
    "$@"
  fi
}

# start_postgres FOLDER PORT: makes a database and starts it; sets `postgres_password`.
start_postgres() {
  local folder=$1 port=$2
  postgres_folder=$folder
  postgres_user=$(id -u postgres >/dev/null 2>&1 && echo postgres || echo nobody)
  postgres_password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  mkdir -m 700 "$folder"
  printf '%s' "$postgres_password" >"$folder/password"
  if [ "$(id -u)" = 0 ]; then
    # It has to get through the folder of the script.
    chmod 711 "$(dirname "$folder")"
    chown -R "$postgres_user" "$folder"
  fi
  if ! (cd "$folder" && as_nobody_special "$postgres_programs/initdb" -D "$folder/data" -U kuma --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --pwfile="$folder/password") >"$folder.log" 2>&1; then
    tail -n 5 "$folder.log" >&2
    return 1
  fi
  (cd "$folder" && as_nobody_special "$postgres_programs/pg_ctl" start -w -t 60 -D "$folder/data" -l "$folder/log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=") >>"$folder.log" 2>&1 || { tail -n 5 "$folder/log" "$folder.log" >&2; return 1; }
}

# stop_postgres: ends what start_postgres started.
stop_postgres() {
  [ -f "${postgres_folder:-}/data/postmaster.pid" ] || return 0
  (cd "$postgres_folder" && as_nobody_special "$postgres_programs/pg_ctl" stop -m fast -D "$postgres_folder/data") >/dev/null 2>&1 || true
}
