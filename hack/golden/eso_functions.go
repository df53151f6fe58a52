package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"sigs.k8s.io/yaml"
	gopkcs12 "software.sslmate.com/src/go-pkcs12"
)

// esoFunctions are the functions of ESO: sprig's without those that see the
// environment or the network, and what ESO adds, written here on the libraries
// that it uses.
func esoFunctions() template.FuncMap {
	funcs := sprig.TxtFuncMap()
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(funcs, name)
	}
	funcs["hexdec"] = func(s string) (string, error) {
		b, err := hex.DecodeString(s)
		return string(b), err
	}
	funcs["toYaml"] = func(v any) string {
		b, err := yaml.Marshal(v)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(b), "\n")
	}
	funcs["fromYaml"] = func(s string) map[string]any {
		m := map[string]any{}
		if err := yaml.Unmarshal([]byte(s), &m); err != nil {
			m["Error"] = err.Error()
		}
		return m
	}
	funcs["filterPEM"] = func(kind, text string) (string, error) {
		rest := []byte(fromBegin(text))
		var out bytes.Buffer
		for {
			b, after := pem.Decode(rest)
			rest = after
			if b == nil {
				break
			}
			if strings.EqualFold(b.Type, kind) {
				if err := pem.Encode(&out, b); err != nil {
					return "", err
				}
			}
		}
		if out.Len() == 0 && len(rest) > 0 {
			return "", errors.New("error filtering pem: found junk")
		}
		return out.String(), nil
	}
	funcs["filterCertChain"] = func(part, text string) (string, error) {
		certs, err := parseCerts([]byte(text))
		if err != nil {
			return "", err
		}
		chain, err := orderChain(certs)
		if err != nil {
			return "", err
		}
		switch part {
		case "leaf":
			if !isRoot(chain[0]) {
				return pems(chain[:1]), nil
			}
		case "intermediate":
			n := 1
			for n < len(chain) && !isRoot(chain[n]) {
				n++
			}
			return pems(chain[1:n]), nil
		case "root":
			if last := chain[len(chain)-1]; isRoot(last) {
				return pems([]*x509.Certificate{last}), nil
			}
		}
		return "", nil
	}
	funcs["certSANs"] = func(text string) ([]string, error) {
		b, _ := pem.Decode([]byte(fromBegin(text)))
		if b == nil {
			return nil, errors.New("failed to decode PEM block")
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("failed to parse certificate: %w", err)
		}
		names := append([]string{}, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		names = append(names, c.EmailAddresses...)
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
		return names, nil
	}
	funcs["jwkPublicKeyPem"] = func(text string) (string, error) {
		return fromJWK(text, "PUBLIC KEY", x509.MarshalPKIXPublicKey)
	}
	funcs["jwkPrivateKeyPem"] = func(text string) (string, error) {
		return fromJWK(text, "PRIVATE KEY", x509.MarshalPKCS8PrivateKey)
	}
	key := func(password, file string) (string, error) {
		k, _, _, err := gopkcs12.DecodeChain([]byte(file), password)
		if err != nil {
			return "", fmt.Errorf("unable to decode pkcs12 with password: %s", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		return block("PRIVATE KEY", der), err
	}
	cert := func(password, file string) (string, error) {
		_, c, cas, err := gopkcs12.DecodeChain([]byte(file), password)
		if err != nil {
			return "", fmt.Errorf("unable to decode pkcs12 certificate with password: %s", err)
		}
		all := append([]*x509.Certificate{c}, cas...)
		if chain, err := orderChain(all); err == nil {
			all = chain
		}
		return pems(all), nil
	}
	funcs["pkcs12keyPass"], funcs["pkcs12certPass"] = key, cert
	funcs["pkcs12key"] = func(file string) (string, error) { return key("", file) }
	funcs["pkcs12cert"] = func(file string) (string, error) { return cert("", file) }
	funcs["rsaDecrypt"] = decryptOAEP
	return funcs
}

func fromBegin(text string) string {
	if at := strings.Index(text, "-----BEGIN"); at > 0 {
		return text[at:]
	}
	return text
}

func pems(certs []*x509.Certificate) string {
	var out strings.Builder
	for _, c := range certs {
		out.WriteString(block("CERTIFICATE", c.Raw))
	}
	return out.String()
}

func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			return certs, nil
		}
		text = rest
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
}

func isRoot(c *x509.Certificate) bool {
	return c.AuthorityKeyId == nil || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId)
}

// orderChain orders certificates by the identifiers of their keys.
func orderChain(certs []*x509.Certificate) ([]*x509.Certificate, error) {
	parent := make([]int, len(certs))
	signs := make([]bool, len(certs))
	for i := range certs {
		parent[i] = -1
		for j := range certs {
			if i != j && bytes.Equal(certs[i].AuthorityKeyId, certs[j].SubjectKeyId) {
				parent[i], signs[j] = j, true
				break
			}
		}
	}
	at := -1
	for i := range certs {
		if !signs[i] {
			if at >= 0 {
				return nil, errors.New("found multiple leaf or disjunct certificates")
			}
			at = i
		}
	}
	if at < 0 {
		return nil, errors.New("no leaf certificate found")
	}
	var chain []*x509.Certificate
	for ; at >= 0; at = parent[at] {
		if len(chain) == len(certs) {
			return nil, errors.New("constructing chain resulted in cycle")
		}
		chain = append(chain, certs[at])
	}
	return chain, nil
}

func fromJWK(text, kind string, marshal func(any) ([]byte, error)) (string, error) {
	k, err := jwk.ParseKey([]byte(text))
	if err != nil {
		return "", err
	}
	var raw any
	if err := k.Raw(&raw); err != nil {
		return "", err
	}
	der, err := marshal(raw)
	if err != nil {
		return "", err
	}
	return block(kind, der), nil
}

func anyKey(der []byte) any {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k
	}
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k
	}
	return nil
}

func decryptOAEP(scheme, name, text, key string) (string, error) {
	if scheme == "None" {
		return text, nil
	}
	if scheme != "RSA-OAEP" {
		return "", fmt.Errorf("decryption scheme %v is not supported", scheme)
	}
	b, _ := pem.Decode([]byte(key))
	if b == nil {
		return "", errors.New("failed to decode PEM block")
	}
	parsed := anyKey(b.Bytes)
	if parsed == nil {
		return "", errors.New("could not parse private key: unable to parse private key type")
	}
	k, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return "", errors.New("could not parse RSA private key")
	}
	var h hash.Hash = sha256.New()
	switch name {
	case "SHA1":
		h = sha1.New()
	case "SHA512":
		h = sha512.New()
	}
	out, err := rsa.DecryptOAEP(h, nil, k, []byte(text), nil)
	if err != nil {
		return "", fmt.Errorf("error decrypting data with RSA: %v", err)
	}
	return string(out), nil
}
