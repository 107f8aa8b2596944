#!/usr/bin/env bash
# "Functions on a laptop" in infra/README.md, step by step, on free ports: the functions under `cargo lambda watch`, against a local AWS
# and the simulator, fed by `cargo lambda invoke` until a file is collected. Ends by itself within minutes, and ends what it started.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/tools ministack cargo-lambda

tools=$PWD/target/tools
python=$tools/ministack/bin/python
export PATH=$tools/cargo-lambda/bin:$PATH
scratch=$(mktemp -d)
started=()

end() {
  local status=$?
  for id in "${started[@]}"; do
    # Each was started as the leader of its own group; the functions that it runs go with it.
    kill -TERM -- "-$id" 2>/dev/null || true
  done
  sleep 1
  for id in "${started[@]}"; do kill -KILL -- "-$id" 2>/dev/null || true; done
  if ((status)); then tail -n 40 "$scratch"/*.log >&2; fi
  rm -rf "$scratch"
  exit "$status"
}
trap end EXIT

# Starts a command in a process group of its own, with its output in a file.
start() {
  local log=$scratch/$1.log
  shift
  setsid "$@" >"$log" 2>&1 </dev/null &
  started+=($!)
}

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Waits until a command succeeds, at most so many seconds.
wait_for() {
  local seconds=$1 what=$2
  shift 2
  for ((n = 0; n < seconds; n++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 1
  done
  printf 'waited %d s in vain for %s\n' "$seconds" "$what" >&2
  return 1
}

# Built alone, as `cargo lambda watch` builds them: it builds at the first event, and an event does not wait for ever.
cargo build --bins
binaries=${CARGO_TARGET_DIR:-target}/debug

aws_port=$(free_port)
start ministack env GATEWAY_PORT="$aws_port" BIND_HOST=127.0.0.1 IOT_MTLS_ENABLED=0 SFTP_ENABLED=0 TMPDIR="$scratch" \
  "$tools/ministack/bin/ministack"
start simulator "$binaries/dropcollect" simulate --listen 127.0.0.1:0 --scenario tests/scenarios/end_to_end.toml
wait_for 30 "the simulator" grep -q http:// "$scratch/simulator.log"

export AWS_ENDPOINT_URL=http://127.0.0.1:$aws_port AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
export DATASET_BUCKET=dropcollect-dataset-example
export POLL_QUEUE_URL=$AWS_ENDPOINT_URL/000000000000/dropcollect-poll-example
export RETRY_QUEUE_URL=$AWS_ENDPOINT_URL/000000000000/dropcollect-retry-example
BRIGHT_DATA_API_URL=$(grep -o 'http://[0-9.:]*' "$scratch/simulator.log" | head -n 1)
export BRIGHT_DATA_API_URL BRIGHT_DATA_API_TOKEN=token-of-the-test BRIGHT_DATA_COLLECTOR_ID=c_abc123 WEBHOOK_SECRET=notices-of-an-example
wait_for 30 "MiniStack" "$python" tests/lambda_watch.py prepare

watch_port=$(free_port)
# One process serves one invocation at a time, and one that ended is started again only where more than one is allowed.
start watch cargo lambda watch --invoke-address 127.0.0.1 --invoke-port "$watch_port" --concurrency 4
wait_for 60 "cargo lambda watch" bash -c "exec 3<>/dev/tcp/127.0.0.1/$watch_port"

invoke=(cargo lambda invoke --invoke-address 127.0.0.1 --invoke-port "$watch_port")
# S3's test message is no file.
timeout 120 "${invoke[@]}" trigger --data-file infra/events/input-queue-test-event.json
# A notice about nothing that is known is passed on, and ends there.
timeout 60 "${invoke[@]}" webhook --data-file infra/events/notice.json >"$scratch/noticed.json"
grep -q '"statusCode":200' "$scratch/noticed.json" || { cat "$scratch/noticed.json"; false; }
"$python" tests/lambda_watch.py drop "$scratch/dropped.json"
timeout 60 "${invoke[@]}" trigger --data-file "$scratch/dropped.json"
# While the run is open, the sweep counts it, and again when it is over.
timeout 60 "${invoke[@]}" sweep --data-file infra/events/schedule.json >"$scratch/swept.json"
"$python" tests/lambda_watch.py swept "$scratch/swept.json" 1
timeout 200 "$python" tests/lambda_watch.py work "$watch_port"
timeout 60 "${invoke[@]}" sweep --data-file infra/events/schedule.json >"$scratch/swept.json"
"$python" tests/lambda_watch.py swept "$scratch/swept.json" 0
