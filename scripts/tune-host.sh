#!/usr/bin/env bash
# Says how this machine differs from one that is tuned for a shard on every CPU, and why each
# difference matters; with --apply changes it, until the next boot. After Seastar's perftune.
#
#   scripts/tune-host.sh [--apply] [--nic NAME]... [--cpus LIST] [--port-backlog N] [--huge-pages N]
#
#   --apply         change it (needs root); without it nothing is changed
#   --nic NAME      network interface whose interrupts and queues to place; default: those that are up
#   --cpus LIST     the CPUs of the shards, such as 2-7; default: all. Interrupts go to the others, or
#                   are spread evenly if there are none
#   --port-backlog N  connections that may wait to be accepted; default 4096
#   --huge-pages N  2 MiB pages to set aside; default 0, none
#
# Each line is one setting: `ok`, `would set` or `set`, `cannot` where the kernel or a missing
# privilege forbids it, and `hint` for what only a reboot or a service file can change.
set -euo pipefail

apply=false
nics=()
cpus=
backlog=4096
huge_pages=0
# For tests: another directory in the place of /.
root=${TUNE_HOST_ROOT:-}

usage() { sed -n '2,17s/^# \{0,1\}//p' "$0"; }

while (($#)); do
    case $1 in
        --apply) apply=true ;;
        --nic) nics+=("${2:?--nic needs a name}"); shift ;;
        --cpus) cpus=${2:?--cpus needs a list}; shift ;;
        --port-backlog) backlog=${2:?--port-backlog needs a number}; shift ;;
        --huge-pages) huge_pages=${2:?--huge-pages needs a number}; shift ;;
        -h | --help) usage; exit 0 ;;
        *) printf 'unknown argument %s\n' "$1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
for number in "$backlog" "$huge_pages"; do
    [[ $number =~ ^[0-9]+$ ]] || { printf '%s is no number\n' "$number" >&2; exit 2; }
done

if [[ ! ${cpus:-0} =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]]; then
    printf '%s is no list of CPUs such as 0-3,8\n' "$cpus" >&2
    exit 2
fi

count=0 changed=0
say() { printf '%-9s %s\n' "$1" "$2"; }
why() { printf '%-9s   because %s\n' '' "$1"; }

# is_fine NOW WANTED COMPARE: whether a setting may stay as it is.
is_fine() {
    case $3 in
        same) [[ $1 == "$2" ]] ;;
        is-at-least) [[ $1 =~ ^[0-9]+$ && $1 -ge $2 ]] ;;
        is-at-most) [[ $1 =~ ^[0-9]+$ && $1 -le $2 ]] ;;
    esac
}

# setting FILE WANTED WHY [is-at-least|is-at-most]: what FILE holds is to be WANTED.
setting() {
    local file=$root$1 wanted=$2 reason=$3 compare=${4:-same} now
    if [[ ! -e $file ]]; then
        return 0
    fi
    if ! now=$(tr -s '[:space:]' ' ' 2>/dev/null <"$file"); then
        say cannot "read $file"
        return 0
    fi
    now=${now% }
    # Of several choices the chosen one stands in brackets.
    if [[ $now =~ \[([a-z]+)\] ]]; then now=${BASH_REMATCH[1]}; fi
    if is_fine "$now" "$wanted" "$compare"; then
        say ok "$file is $now"
        return 0
    fi
    count=$((count + 1))
    if ! $apply; then
        say 'would set' "$file from $now to $wanted"
    elif printf '%s\n' "$wanted" 2>/dev/null >"$file"; then
        changed=$((changed + 1))
        say set "$file from $now to $wanted"
    else
        say cannot "set $file from $now to $wanted"
    fi
    why "$reason"
}

# The CPUs of a list such as 0-2,5, one a line.
list() {
    local part
    for part in ${1//,/ }; do
        seq "${part%-*}" "${part#*-}"
    done
}

# The CPUs of standard input as the kernel's mask, in groups of 32 bits.
mask() {
    local cpu words=() word text='' place
    while read -r cpu; do
        place=$((cpu / 32))
        words[place]=$((${words[place]:-0} | 1 << cpu % 32))
    done
    local indices=("${!words[@]}")
    for ((place = indices[-1]; place >= 0; place--)); do
        word=$(printf '%08x' "${words[place]:-0}")
        text+=${text:+,}$word
    done
    printf '%s\n' "$text"
}

online=$(cat "$root/sys/devices/system/cpu/online" 2>/dev/null || echo 0)
mapfile -t all < <(list "$online")
mapfile -t shards < <(list "${cpus:-$online}")
mapfile -t others < <(comm -23 <(printf '%s\n' "${all[@]}" | sort) <(printf '%s\n' "${shards[@]}" | sort))
if ((${#others[@]})); then irq_cpus=("${others[@]}"); else irq_cpus=("${shards[@]}"); fi

sockets() {
    setting /proc/sys/net/core/somaxconn "$backlog" \
        'more connections at once than that are dropped before they are accepted' is-at-least
    setting /proc/sys/net/ipv4/tcp_max_syn_backlog "$backlog" \
        'more handshakes at once than that are dropped' is-at-least
    setting /proc/sys/net/ipv4/tcp_slow_start_after_idle 0 \
        'a kept-alive connection would begin slowly again after each pause'
    setting /proc/sys/net/ipv4/ip_local_port_range '1024 65535' \
        'a proxy or load generator on this machine runs out of ports'
}

memory() {
    setting /sys/kernel/mm/transparent_hugepage/enabled madvise \
        'huge pages for everybody cost memory, and pauses while they are put together'
    setting /proc/sys/vm/swappiness 1 'a page that is read back from disk stalls its shard' is-at-most
    if ((huge_pages)); then
        setting /proc/sys/vm/nr_hugepages "$huge_pages" 'you asked for them' is-at-least
    fi
    local locked
    locked=$(ulimit -l)
    if [[ $locked == unlimited || $locked -ge 65536 ]]; then
        say ok "locked memory (ulimit -l) is $locked"
    else
        say hint "ulimit -l is $locked KiB: set LimitMEMLOCK=infinity in the service's unit"
        why 'rings and their buffers are locked memory, of all shards together'
    fi
    local files
    files=$(ulimit -Hn)
    if [[ $files == unlimited || $files -ge 65536 ]]; then
        say ok "open files (ulimit -Hn) are $files"
    else
        say hint "ulimit -Hn is $files: set LimitNOFILE=1048576 in the service's unit"
        why 'each connection is a descriptor'
    fi
}

processors() {
    local cpu
    for cpu in "${shards[@]}"; do
        setting "/sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor" performance \
            'a CPU that has slowed down takes its time to come back, and requests wait for it'
    done
    setting /proc/sys/kernel/numa_balancing 0 'it unmaps pages to see who uses them; a shard is pinned'
    setting /proc/sys/kernel/timer_migration 0 'timers of one CPU would fire on another'
    if ((${#others[@]})); then
        local list isolated
        list=$(IFS=,; echo "${shards[*]}")
        isolated=$(cat "$root/sys/devices/system/cpu/isolated" 2>/dev/null || true)
        if [[ $isolated ]]; then
            say ok "isolated CPUs: $isolated"
        else
            say hint "boot with isolcpus=$list nohz_full=$list rcu_nocbs=$list"
            why 'other programs and the kernel itself then leave the CPUs of the shards alone'
        fi
    fi
}

interrupts() {
    if pgrep -x irqbalance >/dev/null 2>&1; then
        say hint 'irqbalance runs: stop it (systemctl disable --now irqbalance)'
        why 'it would move the interrupts again'
    fi
    local nic irq queue next=0 cpu
    for nic in "${nics[@]}"; do
        if [[ ! -d $root/sys/class/net/$nic ]]; then
            printf 'there is no interface %s\n' "$nic" >&2
            exit 2
        fi
        for irq in "$root/sys/class/net/$nic/device/msi_irqs/"*; do
            [[ -e $irq ]] || continue
            cpu=${irq_cpus[next++ % ${#irq_cpus[@]}]}
            setting "/proc/irq/${irq##*/}/smp_affinity_list" "$cpu" \
                "interrupts of $nic on one CPU are the limit of all shards"
        done
        local rx=("$root/sys/class/net/$nic/queues/rx-"*) tx=("$root/sys/class/net/$nic/queues/tx-"*)
        # With a queue for every shard the device spreads packets; else the kernel has to.
        local rps=0
        if ((${#rx[@]} < ${#shards[@]})); then rps=$(printf '%s\n' "${shards[@]}" | mask); fi
        for queue in "${rx[@]}"; do
            setting "${queue#"$root"}/rps_cpus" "$(padded "$queue/rps_cpus" "$rps")" \
                "$nic has ${#rx[@]} queues for ${#shards[@]} shards"
        done
        next=0
        for queue in "${tx[@]}"; do
            cpu=${shards[next++ % ${#shards[@]}]}
            setting "${queue#"$root"}/xps_cpus" "$(padded "$queue/xps_cpus" "$(mask <<<"$cpu")")" \
                'a shard that sends through the queue of another one shares its lock'
        done
    done
}

# A mask in as many digits as the kernel shows in FILE.
padded() {
    local now mask=$2
    now=$(cat "$1" 2>/dev/null || true)
    if [[ $mask == 0 || $now != *,* ]]; then mask=${mask#"${mask%%[!0,]*}"}; fi
    mask=${mask:-0}
    if [[ $now != *,* && ${#now} -gt ${#mask} ]]; then mask=$(printf "%${#now}s" "$mask" | tr ' ' 0); fi
    printf '%s\n' "$mask"
}

if ((!${#nics[@]})); then
    for nic in "$root/sys/class/net/"*; do
        [[ -e $nic/device && $(cat "$nic/operstate" 2>/dev/null) == up ]] && nics+=("${nic##*/}")
    done
fi
if $apply && [[ ! $root && $EUID -ne 0 ]]; then
    echo 'only root can change these: run it as root, or without --apply to see what it would do' >&2
    exit 1
fi

sockets
memory
processors
if ((${#nics[@]})); then
    interrupts
else
    say hint 'no network interface with a device is up: give one with --nic'
fi
if $apply; then
    printf '%s settings differed, %s were changed, until the next boot\n' "$count" "$changed"
else
    printf '%s settings differ; nothing was changed (--apply does)\n' "$count"
fi
