# shellcheck shell=bash disable=SC2034,SC2154 # it shares its variables with the tests that source it
# What the tests in tests/docker share: a compose project under a name of its own, and facts about
# it, asked for until they hold.
#
# A test sets `application`, the service that premain starts, `database`, psql's words for it, and
# `files`, then makes its claims with `it`, and ends with `report`.
#
# DEMO_CURL is the command that reaches 127.0.0.1 of the engine's machine, where that is another one.
read -ra curl <<<"${DEMO_CURL:-curl}"

work=$(mktemp -d)
chmod 0755 "$work"
export HTTP_PORT=0 # any free one
project=premain-test-$$ id=$project
passed=0 failed=0
trap 'clean_up || true' EXIT

# --- claims ---

# Counts one claim: it COMMAND… holds, or within 60 s will.
it() {
    local claim=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        if ((SECONDS >= deadline)); then
            echo "FAILED: $claim"
            logs 2>&1 | tail -30 | sed 's/^/    | /'
            ((++failed))
            return
        fi
        sleep 0.1
    done
    echo "ok: $claim"
    ((++passed))
}
report() {
    echo "$passed passed, $failed failed"
    ((!failed))
}

# Runs a command that ends by itself, and remembers how.
run() {
    status=0
    output=$("$@" 2>&1) || status=$?
}
printed() { [[ $output == *"$1"* ]]; }
printed_no() { ! printed "$1"; }
ended() { ((status == $1)) && printed "${2:-}"; }

# --- the project ---

compose() { docker compose --progress quiet -p "$id" "${files[@]}" "$@"; }
# premain's own commands, in a container of the application's image.
command_of_premain() { compose run --rm -T --no-deps --entrypoint /premain "$application" "$@"; }

# Some versions of compose begin every line with the order to clear it.
logs() { compose logs --no-log-prefix "$application" | sed $'s/^\e\\[2K//'; }
logged() { [[ $(logs 2>&1) =~ $1 ]]; }
never_logged() { ! logged "$1"; }
logged_times() { (($(logs 2>&1 | grep -cE "$2") == $1)); }
sql() { compose exec -T postgres psql -qAtX "${database[@]}" -c "$1"; }
in_database() { [[ $(sql "$1" 2>/dev/null) == "$2" ]]; }
# serves PAGE TEXT [REPLICA]
serves() {
    local url
    url=http://$(compose port --index "${3:-1}" "$application" 8080 2>/dev/null) &&
        [[ $("${curl[@]}" -fsS "$url$1" 2>/dev/null) == *"$2"* ]]
}
# is WHAT SO [SERVICE]: every replica of it.
is() { [[ $(compose ps -aq "${3:-$application}" | xargs docker inspect -f "$1" | sort -u) == "$2" ]]; }
stopped_with() { is '{{.State.Status}} {{.State.ExitCode}}' "exited $1"; }
runs_as() { [[ $(docker top "$(compose ps -q "$application")" -o pid,uid,args | awk 'NR > 1 { $1 = ""; print $0 }') == "$1" ]]; }

clean_up() {
    compose --profile '*' down --volumes --timeout 5
    rm -rf "$work"
} >/dev/null 2>&1

# --- what the images are made of ---

build_premain() { docker build --quiet --target premain --tag premain . >/dev/null; }

# The packages of an example's lock file, for builds on an engine without a network: they take the
# place of the Dockerfile's stage `packages`. packages_of FOLDER [npm's options] leaves $packages/app.
packages_of() {
    local example=$1
    shift
    packages=$PWD/target/tools/docker/$(cat "$example"/package*.json - <<<"$*" | sha256sum | cut -c1-12)
    if [[ ! -e $packages/complete ]]; then
        tests/packages npm=npm
        echo "installing: the packages of $example in $packages"
        mkdir -p "$packages/app"
        cp "$example"/package*.json "$packages/app"
        (cd "$packages/app" && npm ci --silent --no-audit --no-fund "$@")
        touch "$packages/complete"
    fi
    cat >"$work/packages.yaml" <<YAML
services:
  $application:
    build:
      additional_contexts:
        packages: $packages
YAML
}

# redis:7, from where images come from; where none come from, Debian's own under that name.
image_of_redis() {
    local program=/usr/bin/redis-check-rdb # the server, when it is called so
    if docker image inspect redis:7 || docker pull redis:7; then return; fi >/dev/null 2>&1
    tests/packages $program=redis-tools
    ldd $program | grep -o '/[^ ]*' | xargs tar --create --dereference --absolute-names \
        --transform 's,redis-check-rdb,redis-server,' $program |
        docker import -c 'CMD ["redis-server", "--protected-mode", "no"]' - redis:7 >/dev/null
}
