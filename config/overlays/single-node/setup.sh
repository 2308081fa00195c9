#!/usr/bin/env bash
# Makes what the overlay needs and no repository may hold: the certificates of store and portal, the
# store's users, the Secret of the operator, the keys of the portal; then the buckets. What is
# there already stays, so it can be run again. Needs kubectl, openssl, curl and MinIO's client,
# which is called mc unless the variable MC says otherwise.
#
#   config/overlays/single-node/setup.sh secrets    before the overlay is applied
#   config/overlays/single-node/setup.sh buckets    after it
set -euo pipefail
cd "$(dirname "$0")"
umask 077

host=$(sed -n 's|.*--broker-public-url=https://\(.*\):30443$|\1|p' kustomization.yaml)
rights=../../../hack/lab/store
work=$(mktemp -d)
forward=
trap 'rm -rf "$work"; if [ -n "$forward" ]; then kill "$forward" 2>/dev/null || true; fi' EXIT

there() { kubectl get "$@" >/dev/null 2>&1; }
# Letters and digits only.
random() { openssl rand -hex "$1"; }
# value NAMESPACE SECRET KEY
value() { kubectl -n "$1" get secret "$2" -o "go-template={{index .data \"$3\"}}" | base64 -d; }
namespace() { kubectl create namespace "$1" --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null; }

authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj "/CN=Lethe on $host" -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" \
    -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
}

# certificate NAMESPACE NAME MORE-NAMES makes a Secret with a certificate of this machine. Nobody
# keeps the authority's key.
certificate() {
  if there -n "$1" secret "$2"; then return; fi
  if [ ! -f "$work/ca.key" ]; then authority; fi
  local name="DNS:$host"
  if [[ $host =~ ^[0-9.]+$|: ]]; then name="IP:$host"; fi
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" \
    -keyout "$work/tls.key" -out "$work/tls.csr" 2>/dev/null
  openssl x509 -req -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 825 \
    -extfile <(echo "subjectAltName=$name,$3"; echo "extendedKeyUsage=serverAuth") \
    -out "$work/tls.crt" 2>/dev/null
  kubectl -n "$1" create secret generic "$2" --type=kubernetes.io/tls \
    --from-file="$work/tls.crt" --from-file="$work/tls.key" --from-file="$work/ca.crt"
}

# Values go into files, because arguments can be seen by others.
secrets() {
  if [ "$host" = lethe.example.com ] || ! grep -q "^origin: https://$host:30444$" portal.yaml; then
    echo "setup.sh: write the name or address of this machine into kustomization.yaml and portal.yaml first" >&2
    exit 64
  fi
  namespace lethe-store
  namespace lethe-system
  if ! there -n lethe-store secret lethe-minio; then
    printf %s lethe-root >"$work/rootUser"
    printf %s "$(random 24)" >"$work/rootPassword"
    kubectl -n lethe-store create secret generic lethe-minio --from-file="$work/rootUser" --from-file="$work/rootPassword"
  fi
  certificate lethe-store lethe-minio-tls DNS:lethe-minio.lethe-store.svc,DNS:localhost
  certificate lethe-system lethe-portal-tls DNS:lethe-portal.lethe-system.svc
  # Without these keys nobody can sign in any more: keep a copy, apart from the database's.
  if ! there -n lethe-system secret lethe-portal; then
    printf '{"current":"k1","keys":{"k1":"%s"}}' "$(openssl rand -base64 32)" >"$work/portal.keys"
    kubectl -n lethe-system create secret generic lethe-portal --from-file="$work/portal.keys"
  fi
  if ! there -n lethe-system secret lethe-store; then
    printf %s "https://$host:30900" >"$work/endpoint"
    printf %s lethe-operator >"$work/accessKey"
    printf %s "$(random 24)" >"$work/secretKey"
    printf %s lethe-auditor >"$work/auditAccessKey"
    printf %s "$(random 24)" >"$work/auditSecretKey"
    value lethe-store lethe-minio-tls ca.crt >"$work/ca.crt"
    kubectl -n lethe-system create secret generic lethe-store --from-file="$work/endpoint" --from-file="$work/ca.crt" \
      --from-file="$work/accessKey" --from-file="$work/secretKey" --from-file="$work/auditAccessKey" --from-file="$work/auditSecretKey"
  fi
}

# reach makes mc know the store as "lethe", through a forwarded port.
reach() {
  mkdir -p "$work/mc/certs/CAs"
  value lethe-store lethe-minio-tls ca.crt >"$work/mc/certs/CAs/ca.crt"
  if [ -z "${LETHE_STORE_ADDRESS:-}" ]; then
    kubectl -n lethe-store port-forward service/lethe-minio 39000:9000 >/dev/null &
    forward=$!
    LETHE_STORE_ADDRESS=localhost:39000
  fi
  MC_HOST_lethe="https://$(value lethe-store lethe-minio rootUser):$(value lethe-store lethe-minio rootPassword)@$LETHE_STORE_ADDRESS"
  export MC_HOST_lethe
  curl --silent --fail --retry 30 --retry-all-errors --retry-delay 1 --cacert "$work/mc/certs/CAs/ca.crt" \
    "https://$LETHE_STORE_ADDRESS/minio/health/ready"
}

mc() { command "${MC:-mc}" --config-dir "$work/mc" --quiet "$@"; }

# user NAME-OF-POLICY FILE KEY-OF-NAME KEY-OF-SECRET
user() {
  mc admin policy create lethe "$1" "$rights/$2"
  # Name and secret are read from the standard input.
  { value lethe-system lethe-store "$3"; echo; value lethe-system lethe-store "$4"; echo; } | mc admin user add lethe
  local name
  name=$(value lethe-system lethe-store "$3")
  mc admin policy attach lethe "$1" --user "$name" || mc admin user info lethe "$name" | grep -q "$1"
}

buckets() {
  kubectl -n lethe-store rollout status deployment/lethe-minio --timeout=5m
  reach
  for bucket in lethe-datasets lethe-artifacts lethe-ledger; do
    mc mb --ignore-existing "lethe/$bucket"
    mc version enable "lethe/$bucket"
  done
  mc mb --ignore-existing --with-lock lethe/lethe-receipts
  # Ten years; nobody can shorten it for receipts that are there.
  mc retention set --default COMPLIANCE 10y lethe/lethe-receipts
  user lethe-operator operator.json accessKey secretKey
  user lethe-auditor auditor.json auditAccessKey auditSecretKey
}

case "${1:-}" in
secrets | buckets) "$1" ;;
*)
  sed -n 's/^#   //p' "$0" >&2
  exit 64
  ;;
esac
