package config

// Vault is a Vault or OpenBao server, and how the broker logs in there: by Token, or by
// a Kubernetes service account.
type Vault struct {
	URL        string      `yaml:"url"`
	Namespace  string      `yaml:"namespace"`
	Token      Secret      `yaml:"token"`
	Kubernetes *Kubernetes `yaml:"kubernetes"`
	Refresh    Duration    `yaml:"refresh"` // between two looks at a secret without a lease
}

// Kubernetes is the vault's auth method of that name.
type Kubernetes struct {
	Role  string `yaml:"role"`
	Mount string `yaml:"mount"` // left out: kubernetes
	JWT   Secret `yaml:"jwt"`   // of the service account
}

func (v *validation) vault(key string, vault *Vault) {
	if vault == nil {
		return
	}
	v.webURL(child(key, "url"), vault.URL)
	v.local(child(key, "token"), vault.Token)
	if vault.Refresh.Duration < 0 {
		v.fail(child(key, "refresh"), "is negative")
	}
	switch k := vault.Kubernetes; {
	case k == nil && vault.Token.IsZero():
		v.fail(key, "needs token, such as \"file:///run/secrets/vault-token\", or kubernetes")
	case k != nil && !vault.Token.IsZero():
		v.fail(key, "has token and kubernetes; keep one")
	case k != nil && (k.Role == "" || k.JWT.IsZero()):
		v.fail(child(key, "kubernetes"), "needs role and jwt, such as \"k8s:///var/run/secrets/tokens/vault\"")
	case k != nil:
		v.local(child(child(key, "kubernetes"), "jwt"), k.JWT)
	}
}

// local refuses a reference into the vault where the vault itself, or something beside
// upstreams, needs the secret.
func (v *validation) local(key string, s Secret) {
	if s.Scheme() == SchemeVault {
		v.fail(key, "cannot be in the vault; write \"env://NAME\", \"file:///absolute/path\" or \"k8s:///absolute/path\"")
	}
}

// vaulted refuses a reference into a vault that is not configured.
func (v *validation) vaulted(key string, s Secret, vault *Vault) {
	if s.Scheme() == SchemeVault && vault == nil {
		v.fail(key, "is in a vault, and none is configured; add vault.url and how to log in there")
	}
}
