# shellcheck shell=bash
# Sourced by tools/check and tools/demo: steps with a time-out and a log, and where guests can run on this machine.
#
# A step runs in a process group of its own (timeout makes it), its output goes to $log_dir/NAME.log. At a terminal
# the last line of the log is shown while it works. However the caller ends, what a step started is ended with it,
# and so is the lab, where this script was the one that started it.

: "${root:?}" "${self:?}"
log_dir=$root/build/logs
step_pid=
lab_is_ours=no

say() { printf '%s: %s\n' "$self" "$*" >&2; }

clean_up() {
  trap - EXIT
  trap '' INT TERM HUP # a second Ctrl-C must not cut the cleaning short
  if [[ -n $step_pid ]] && kill -TERM "$step_pid" 2>/dev/null; then
    wait "$step_pid" 2>/dev/null || true
  fi
  if [[ $lab_is_ours == yes ]]; then "$root/tools/in-lab" --stop || true; fi
}
trap clean_up EXIT
trap 'echo >&2; say "interrupted"; clean_up; exit 130' INT
trap 'clean_up; exit 143' TERM HUP

last_line() { tail -c 400 "$1" | tr '\r' '\n' | grep -av '^$' | tail -n 1 || true; }

# Waits for the running step and shows what its log says meanwhile: in place at a terminal, else twice a minute.
follow() {
  local log=$1 name=$2 line status=0 shown=$SECONDS
  while kill -0 "$step_pid" 2>/dev/null; do
    if [[ -t 2 ]]; then
      line=$(last_line "$log")
      printf '\r\033[K  %s' "${line:0:$((${COLUMNS:-80} - 4))}" >&2
    elif ((SECONDS - shown >= 30)); then
      shown=$SECONDS
      line=$(last_line "$log")
      say "$name: ${line:0:100}"
    fi
    sleep 0.2
  done
  if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
  wait "$step_pid" || status=$?
  step_pid=
  return "$status"
}

# step NAME TIMEOUT_S CMD...: runs CMD; its exit status is CMD's, 124 for a time-out.
step() {
  local name=$1 limit_s=$2 began=$SECONDS status=0
  shift 2
  mkdir -p "$log_dir"
  say "$name ..."
  timeout -k 10 "$limit_s" "$@" >"$log_dir/${name// /-}.log" 2>&1 </dev/null &
  step_pid=$!
  follow "$log_dir/${name// /-}.log" "$name" || status=$?
  case $status in
    0) say "$name: done in $((SECONDS - began)) s" ;;
    124 | 137)
      if ((SECONDS - began >= limit_s)); then
        say "$name: no end after $limit_s s (log: $log_dir/${name// /-}.log)"
      else # of a time limit inside it
        say "$name: failed after $((SECONDS - began)) s, something in it did not end (log: $log_dir/${name// /-}.log)"
      fi
      ;;
    *) say "$name: failed after $((SECONDS - began)) s (log: $log_dir/${name// /-}.log)" ;;
  esac
  return "$status"
}

# Runs CMD with this script's own descriptors and terminal. Bash would run a trap only after CMD had ended, and would
# have a background CMD ignore Ctrl-C; hence both halves of this.
attached() {
  local status=0
  (trap - INT QUIT && exec "$@") <&0 &
  step_pid=$!
  wait "$step_pid" || status=$?
  step_pid=
  return "$status"
}

# The project's files that match; also in a checkout that belongs to somebody else.
tracked() { git -C "$root" -c safe.directory="$root" ls-files -- "$@"; }

show_tail() { tail -n "${2:-30}" "$log_dir/${1// /-}.log" >&2; }

# Decides, once, where guests run: on this machine's KVM or in the lab. Sets `runner` (a command prefix) and says why.
# shellcheck disable=SC2034 # used by those who source this file
runner=()
choose_machine() {
  local reason
  if reason=$(timeout 60 "$root/build/glassbox" kvm-check 2>&1); then
    say "guests run on this machine's KVM (${reason#usable: })"
    return
  fi
  reason=${reason#not usable: }
  say "KVM is not usable here (${reason:-no answer from glassbox kvm-check}): guests run in the lab"
  "$root/tools/setup" --with-lab || return 1
  "$root/tools/in-lab" --status >/dev/null 2>&1 || lab_is_ours=yes
  "$root/tools/in-lab" --start || return 1
  # shellcheck disable=SC2034
  runner=("$root/tools/in-lab")
}
