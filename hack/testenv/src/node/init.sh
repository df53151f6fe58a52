# First process of a node's namespaces: mounts, addresses, control groups, then it reaps orphans.
# Arguments: directory of the environment, file to write the pid to (as the machine sees it) when all is in place.
set -eu
dir=$1 ready=$2
id=${dir##*/}

# Before /proc shows the new pid namespace only.
read -r pid rest </proc/self/stat
mount -t proc proc /proc

# Nothing moves the sockets of shims, /run/netns, /var/lib/cni and /var/log/containers elsewhere.
layers=$dir/layers
mkdir -p "$layers/upper" "$layers/work"
mount -t tmpfs tmpfs /run
mkdir /run/lock /run/dir
mount --bind "$dir" /run/dir
overlay() {
  mkdir -p "$layers/upper" "$layers/work"
  mount -t overlay overlay -o "lowerdir=/var,upperdir=$layers/upper,workdir=$layers/work" /var
}
# A directory that is itself on an overlay, as in a container, cannot hold the upper layer.
overlay 2>/dev/null || { mount -t tmpfs tmpfs "$layers" && overlay; }
case $dir in
  /var/*) mount --bind /run/dir "$dir" ;;
esac

# The kubelet would set these for the whole machine.
mkdir "$dir/sysctl"
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  key=${setting%=*}
  file=$dir/sysctl/$(echo "$key" | tr / .)
  echo "${setting#*=}" >"$file"
  [ ! -e "/proc/sys/$key" ] || mount --bind "$file" "/proc/sys/$key"
done

# 10.96.0.1 is the ClusterIP of the API server, which listens on it directly; 10.97.0.1 is the node.
ip link set lo up
ip address add 10.96.0.1/32 dev lo
ip address add 10.97.0.1/32 dev lo
ip route add default dev lo

# A control group of its own lets several nodes live side by side and makes them easy to clear away.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  for parent in /sys/fs/cgroup "/sys/fs/cgroup/$id"; do
    mkdir -p "$parent"
    for controller in cpuset cpu io memory pids hugetlb; do
      if grep -qw "$controller" "$parent/cgroup.controllers"; then
        echo "+$controller" >"$parent/cgroup.subtree_control"
      fi
    done
  done
else
  for hierarchy in /sys/fs/cgroup/*; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir "$hierarchy/$id"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$id/$file"
    done
  done
fi

echo "$pid" >"$ready.new"
mv "$ready.new" "$ready"
# While the shell waits for its child it reaps whatever else has ended.
while :; do sleep 1000; done
