# tests/check/setup.bash - what ./check and ./demo do before anything else: packages, MySQL, a build.
#
# Sourced, from the top of the tree. The caller defines die (a sentence; does not return) and sets logs, the folder for
# logs; SECONDS counts from its start. What runs in the background is in `child`, for the caller's trap.
# shellcheck shell=bash disable=SC2034,SC2154 # what the caller sets, and what it uses

packages="meson ninja-build gcc g++ pkg-config libcriterion-dev libxxhash-dev liburing-dev libhwloc-dev libdpdk-dev libipsec-mb-dev
	dpdk libssl-dev debootstrap sysbench iproute2 strace clang-format libclang-rt-14-dev clang python3
	python3-mysqldb git spin"
started=$SECONDS
child=""

say() { printf '[%4ds] %s\n' $((SECONDS - started)) "$*"; }

# The trap of both: whatever runs is stopped in good order first.
interrupted() {
	trap '' INT TERM HUP
	[ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child" 2>/dev/null
	say "interrupted"
	exit 130
}

# run LOG PROGRESS COMMAND...: runs COMMAND with its output in LOG and prints what the function PROGRESS says every
# half minute, so that nobody has to guess whether it still goes on.
run() {
	local log=$1 progress=$2 told=$SECONDS
	shift 2
	# In a process group of its own: Ctrl-C reaches this script, which then stops it in good order. Only here: with
	# set -m all the time, Ctrl-C would reach whatever sleep or grep is in the foreground, and nobody else.
	set -m
	"$@" >"$log" 2>&1 &
	child=$!
	set +m
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.2
		[ $((SECONDS - told)) -lt 30 ] && continue
		told=$SECONDS
		"$progress" "$log"
	done
	wait "$child"
	local code=$?
	child=""
	return $code
}

last_line() { say "  ... $(tail -n 1 "$1" | cut -c 1-100)"; }

install_missing() {
	local missing="" name
	for name in $packages; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing="$missing $name"
	done
	[ -z "$missing" ] && return
	[ "$(id -u)" = 0 ] || die "run as root, or install first:$missing"
	export DEBIAN_FRONTEND=noninteractive
	say "installing$missing"
	run "$logs/apt.log" last_line apt-get -q update || say "apt-get update failed; trying with the lists as they are"
	# shellcheck disable=SC2086 # one word per package
	run "$logs/apt.log" last_line apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install $missing && return
	tail -n 20 "$logs/apt.log"
	die "apt-get install failed; its log is $logs/apt.log"
}

# The plugin is built against the headers of the MySQL that it is tested with, so that one comes first.
mysql_options=()
prepare_mysql() {
	[ -s mysqlshim/meson.build ] || [ -s tests/mysql/meson.build ] || return
	say "MySQL to test with"
	run "$logs/mysql.log" last_line tests/mysql/prepare || { tail -n 20 "$logs/mysql.log"; die "tests/mysql/prepare failed"; }
	# shellcheck disable=SC1091 # written by prepare
	. "${SYNOD_CACHE:-/var/cache/synod}/mysql.env"
	mysql_options=("-Dmysql_source=$MYSQL_SOURCE" "-Dmysql_include=$MYSQL_INCLUDE")
}

# build FOLDER OPTION...: features are enabled, not auto: a library that is missing must not take its tests with it.
# `targets` names what is wanted, or is empty for all.
targets=""
build() {
	local folder=$1 verb=setup
	shift
	[ -e "$folder/build.ninja" ] && verb=configure
	say "building $folder"
	# shellcheck disable=SC2086 # one word per target
	run "$logs/$folder.log" last_line meson $verb "$folder" -Dwerror=true -Ddpdk=enabled -During=enabled "$@" &&
		run "$logs/$folder.log" last_line ninja -C "$folder" $targets && return
	tail -n 40 "$logs/$folder.log"
	die "$folder does not build; its log is $logs/$folder.log"
}
