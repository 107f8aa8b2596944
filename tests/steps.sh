# Sourced by tests/run and .ci/run: runs steps one after the other and tells how long each took.

steps_taken=()

step() {
  local name=$1 started=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if ! "$@"; then
    printf '== %s failed after %d s\n' "$name" $((SECONDS - started)) >&2
    exit 1
  fi
  steps_taken+=("$(printf '%5d s  %s' $((SECONDS - started)) "$name")")
}

summary() {
  printf '\n== all passed\n'
  printf '%s\n' "${steps_taken[@]}"
}
