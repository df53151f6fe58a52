# Ends an environment: every process that carries its mark, its control groups, its directory.
#
#   sh -c "$this" sh now  DIR         at once
#   sh -c "$this" sh wait DIR         when standard input closes, which it does however its holder dies.
#                                     The line "detach" on it lets the environment live, "keep" keeps the directory.
#
# The mark is VSO_TESTENV=DIR in a process's environment, which children inherit.
mode=$1 dir=$2 keep=${TESTENV_KEEP:-}
case $dir in
  */vso-testenv-?*) ;;
  *) echo "not a test environment: $dir" >&2; exit 2 ;;
esac

if [ "$mode" = wait ]; then
  trap '' HUP INT QUIT TERM
  word=
  IFS= read -r word || :
  case $word in
    detach) exit 0 ;;
    keep) keep=1 ;;
  esac
fi

marked() {
  if [ -d /proc/self ]; then
    grep -lxzF -- "VSO_TESTENV=$dir" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
  else
    ps -A -ww -E -o pid=,command= | grep -F -- "VSO_TESTENV=$dir" | awk '{print $1}'
  fi
}

# PostgreSQL takes its shared memory away and ends its own processes, which carry no mark. Without this, they end a second
# after it. Inside a node its pid is another one, and the node's end is enough.
pid_file=$dir/postgresql/postmaster.pid
pid=$(head -n 1 "$pid_file" 2>/dev/null)
if [ -n "$pid" ] && marked | grep -qx -- "$pid"; then
  kill -QUIT "$pid"
  kill -CONT "$pid"
  tries=0
  while [ -e "$pid_file" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.05
  done
fi

tries=0
while [ $tries -lt 100 ]; do
  left=
  for pid in $(marked); do
    [ "$pid" = $$ ] && continue
    kill -KILL "$pid" 2>/dev/null && left=1
  done
  [ -z "$left" ] && break
  tries=$((tries + 1))
  sleep 0.05
done

# The control groups of a node empty themselves a moment after its processes are gone.
id=${dir##*/}
tries=0
while [ $tries -lt 100 ]; do
  groups=
  for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$root/$id" ] || continue
    groups=1
    find "$root/$id" -depth -type d -exec rmdir {} \; 2>/dev/null
  done
  [ -z "$groups" ] && break
  tries=$((tries + 1))
  sleep 0.05
done

[ -n "$keep" ] || rm -rf -- "$dir"
