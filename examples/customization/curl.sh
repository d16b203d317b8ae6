#!/usr/bin/env bash
# Calls the customization API with nothing but curl (7.75 or newer, for
# --aws-sigv4), after one refusal: the same call without a signature.
set -euo pipefail
if [ "${1:-}" = --help ]; then
  sed -n '2,3s/^# //p' "$0"
  echo "Environment: ENDPOINT (http://127.0.0.1:8787), ACCESS_KEY_ID, SECRET_ACCESS_KEY, CUSTOMIZATION_ARN"
  exit 0
fi
: "${ENDPOINT:=http://127.0.0.1:8787}"
for v in ACCESS_KEY_ID SECRET_ACCESS_KEY CUSTOMIZATION_ARN; do
  [ -n "${!v:-}" ] || { echo "curl.sh: $v is not set (see --help)" >&2; exit 2; }
done
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# call OPERATION BODY WANTED [curl arguments]
call() {
  local op=$1 body=$2 wanted=$3 status
  shift 3
  status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
    --header 'Content-Type: application/json' --data "$body" "$@" "$ENDPOINT/$op")
  printf '%-24s %s %s\n' "$op" "$status" "$(head -c 300 "$answer")"
  [ "$status" = "$wanted" ] || { echo "curl.sh: $op answered $status, not $wanted" >&2; exit 1; }
}

signed=(--aws-sigv4 'aws:amz:us-east-1:codewhisperer' --user "$ACCESS_KEY_ID:$SECRET_ACCESS_KEY")
call ListCustomizations '{}' 403
call ListCustomizations '{}' 200 "${signed[@]}"
call GenerateCompletions '{"customizationArn":"'"$CUSTOMIZATION_ARN"'","fileContext":{"leftFileContent":"func main() {\n\tvalue, ok := ","rightFileContent":"","filename":"main.go","programmingLanguage":{"languageName":"go"}}}' 200 "${signed[@]}"
call GetRetrievals '{"customizationArn":"'"$CUSTOMIZATION_ARN"'","query":"lookup table value"}' 200 "${signed[@]}"
