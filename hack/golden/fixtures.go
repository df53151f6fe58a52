package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/lestrrat-go/jwx/v2/jwk"
	gopkcs12 "software.sslmate.com/src/go-pkcs12"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (i issued) pem() string { return block("CERTIFICATE", i.cert.Raw) }

// issue makes a certificate; signed by itself if there is no parent.
func issue(cn string, ca bool, key crypto.Signer, parent *issued, change func(*x509.Certificate)) issued {
	t := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2124, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:         ca, BasicConstraintsValid: true,
	}
	t.SubjectKeyId = []byte(cn)
	if change != nil {
		change(t)
	}
	by, signer := t, key
	if parent != nil {
		by, signer = parent.cert, parent.key
	} else if ca {
		t.AuthorityKeyId = t.SubjectKeyId
	}
	der := must(x509.CreateCertificate(rand.Reader, t, by, key.Public(), signer))
	return issued{must(x509.ParseCertificate(der)), key}
}

// writeFixtures makes keys, certificates and keystores for the vectors. They
// are random, so they are made once and kept.
func writeFixtures(path string) error {
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	out := map[string]string{}
	binary := func(name string, b []byte) { out[name] = "base64:" + base64.StdEncoding.EncodeToString(b) }

	root := issue("root", true, ec(elliptic.P256()), nil, nil)
	inter := issue("inter", true, ec(elliptic.P256()), &root, nil)
	inter2 := issue("inter2", true, ec(elliptic.P256()), &inter, nil)
	leaf := issue("leaf", false, rsaKey, &inter2, func(c *x509.Certificate) {
		c.DNSNames = []string{"a.example", "*.b.example"}
		c.IPAddresses = []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("2001:db8::1"), net.ParseIP("::1")}
		c.EmailAddresses = []string{"x@example.com"}
		c.URIs = []*url.URL{must(url.Parse("spiffe://td/ns/x"))}
	})
	ecLeaf := issue("ecleaf", false, ec(elliptic.P256()), &root, nil)
	edLeaf := issue("edleaf", false, edKey, &root, nil)
	other := issue("other", true, ec(elliptic.P384()), nil, nil)
	bare := issue("bare", false, ec(elliptic.P256()), nil, func(c *x509.Certificate) { c.SubjectKeyId = nil })
	out["root"], out["inter"], out["interb"], out["leaf"] = root.pem(), inter.pem(), inter2.pem(), leaf.pem()
	out["ecleaf"], out["edleaf"], out["other"], out["bare"] = ecLeaf.pem(), edLeaf.pem(), other.pem(), bare.pem()
	out["chain"] = leaf.pem() + inter2.pem() + inter.pem() + root.pem()
	out["mixed"] = inter.pem() + root.pem() + leaf.pem() + inter2.pem()
	out["short"] = leaf.pem() + inter2.pem()
	out["disjunct"] = leaf.pem() + other.pem()
	out["twice"] = root.pem() + root.pem()

	out["rsaone"] = block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	out["rsaeight"] = block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey)))
	out["rsapub"] = block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(rsaKey.Public())))
	out["edeight"] = block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(edKey)))
	for name, key := range map[string]*ecdsa.PrivateKey{"eca": ec(elliptic.P256()), "ecb": ec(elliptic.P384()), "ecc": ec(elliptic.P521())} {
		out[name+"sec"] = block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)))
		out[name+"eight"] = block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
		jwks(out, name, key)
	}
	jwks(out, "rsa", rsaKey)
	jwks(out, "ed", edKey)
	out["jwkoct"] = `{"kty":"oct","k":"AAEC"}`

	all := []*x509.Certificate{root.cert, inter2.cert, inter.cert}
	for name, e := range map[string]*gopkcs12.Encoder{"modern": gopkcs12.Modern, "des": gopkcs12.LegacyDES, "rc": gopkcs12.LegacyRC2} {
		binary("p12"+name, must(e.Encode(rsaKey, leaf.cert, all, "1234")))
		binary("p12"+name+"empty", must(e.Encode(ecLeaf.key, ecLeaf.cert, nil, "")))
	}
	binary("p12plain", must(gopkcs12.Passwordless.Encode(edKey, edLeaf.cert, []*x509.Certificate{root.cert}, "")))
	binary("p12umlaut", must(gopkcs12.Modern.Encode(rsaKey, leaf.cert, []*x509.Certificate{other.cert}, "pässwörd€")))
	binary("p12trust", must(gopkcs12.Modern.EncodeTrustStore([]*x509.Certificate{root.cert}, "1234")))

	sprigFuncs := sprig.TxtFuncMap()
	for name, text := range map[string]string{"a": "x", "b": "sixteen letters!", "c": strings.Repeat("läng ", 40)} {
		out["aes"+name] = must(sprigFuncs["encryptAES"].(func(string, string) (string, error))("key", text))
	}
	for name, h := range map[string]hash.Hash{"one": sha1.New(), "two": sha256.New(), "five": sha512.New()} {
		binary("oaep"+name, must(rsa.EncryptOAEP(h, rand.Reader, &rsaKey.PublicKey, []byte("plain text of "+name), nil)))
	}
	text := must(json.MarshalIndent(out, "", "  "))
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// jwks adds a key as private and as public JWK.
func jwks(out map[string]string, name string, key crypto.Signer) {
	private := must(jwk.FromRaw(key))
	public := must(private.PublicKey())
	out["jwk"+name] = string(must(json.Marshal(private)))
	out["jwk"+name+"pub"] = string(must(json.Marshal(public)))
}
