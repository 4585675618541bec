# Brings the rules of the release of gitleaks that .ci/secrets.mod names.
set -eu
dir=$(go mod download -modfile=../../.ci/secrets.mod -json github.com/zricethezav/gitleaks/v8 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
install -m 644 "$dir/config/gitleaks.toml" gitleaks.toml
install -m 644 "$dir/LICENSE" gitleaks.LICENSE
