#!/bin/sh
# Runs the vendor's own command line against the simulator: what it collects must be what was asked for.
# usage: tests/official-client.sh [http://127.0.0.1:PORT]     (a simulator, best with --scenario calm; without one it starts its own)
set -eu

package=@brightdata/cli@0.3.7
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/target/official-client
mkdir -p "$work/home/.config/brightdata-cli"

if ! command -v npm >/dev/null; then
    echo "official client: skipped, there is no npm"
    exit 0
fi
address=${1:-}
if [ -z "$address" ]; then
    "$root/target/debug/dropcollect" simulate --listen 127.0.0.1:0 --scenario calm >"$work/address" 2>/dev/null &
    simulator=$!
    trap 'kill "$simulator" 2>/dev/null' EXIT
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        address=$(cat "$work/address")
        [ -n "$address" ] && break
        sleep 0.2
    done
fi

# The package is pinned, so that a new release cannot change what this proves.
if ! grep -q '"version": "0.3.7"' "$work/node_modules/@brightdata/cli/package.json" 2>/dev/null; then
    npm install --silent --no-audit --no-fund --no-save --prefix "$work" "$package"
fi

# The address is read from the configuration file only; the key may come from the environment.
printf '{"api_url":"%s"}\n' "$address" >"$work/home/.config/brightdata-cli/config.json"
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config" BRIGHTDATA_API_KEY=simulated
cli="node $work/node_modules/@brightdata/cli/dist/index.js"
cd "$work"
rm -f out-*.json

fail() {
    echo "official client: $*" >&2
    exit 1
}

# check FILE URL…: the file holds exactly one record for each URL, and each echoes its input.
check() {
    node -e '
        const [file, ...urls] = process.argv.slice(1);
        const rows = JSON.parse(require("fs").readFileSync(file, "utf8"));
        if (!Array.isArray(rows)) throw new Error("not an array: " + JSON.stringify(rows).slice(0, 200));
        const got = rows.map(row => row.input.url).sort();
        if (JSON.stringify(got) !== JSON.stringify(urls.sort())) throw new Error("inputs differ: " + got);
        for (const row of rows)
            if (row.error || row.url !== row.input.url || typeof row.title !== "string")
                throw new Error("odd row: " + JSON.stringify(row));
    ' "$@" || fail "$1 is not what was asked for"
}

one=https://example.com/official/1
two=https://example.com/official/2
three=https://example.com/official/3

printf '%s\n# a comment\n%s\n\n%s\n' "$one" "$two" "$three" >urls.txt
$cli scraper run c_official0 --input-file urls.txt --name "official check" --json -o out-batch.json
check out-batch.json "$one" "$two" "$three"
echo "official client: batch of three: ok"

$cli scraper run c_official0 "$one" --json -o out-single.json
check out-single.json "$one"
echo "official client: single URL by trigger_immediate: ok"

$cli scraper run c_official0 "$two" --sync --json -o out-sync.json
check out-sync.json "$two"
echo "official client: single URL by crawl: ok"

# A refusal has to reach the person: unknown collector, plain text 404.
if $cli scraper run c_unknown0 --urls "$one,$two" --json -o out-unknown.json 2>refused.txt; then
    fail "an unknown collector was accepted"
fi
grep -q "Collector not found" refused.txt || fail "the reason of the refusal is missing: $(cat refused.txt)"
echo "official client: unknown collector is refused: ok"

# The service must have seen the batch as one job with the name.
node -e '
    fetch(process.argv[1] + "/_simulator/jobs").then(reply => reply.json()).then(jobs => {
        const named = jobs.filter(job => job.query.name === "official check");
        if (named.length === 0 || named.some(job => job.kind !== "batch" || job.inputs.length !== 3))
            throw new Error(JSON.stringify(named));
    }).catch(error => { console.error(error.message); process.exit(1); });
' "$address" || fail "the service saw something else"
echo "official client: all checks passed"
