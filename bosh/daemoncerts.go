package bosh

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// certificates checks a registry's PEM texts.
func (c *specCheck) certificates(path string, r Registry) {
	if r.CACert != "" {
		c.pem(path+"ca_cert", r.CACert)
	}
	switch {
	case r.ClientCert == "" && r.ClientKey == "":
		return
	case r.ClientCert == "":
		c.fail(path+"client_cert", "is missing, though there is a client_key", "")
		return
	case r.ClientKey == "":
		c.fail(path+"client_key", "is missing, though there is a client_cert", "")
		return
	}
	if c.pem(path+"client_cert", r.ClientCert) && c.key(path+"client_key", r.ClientKey) {
		c.pair(path, r)
	}
}

// pem checks that a text is nothing but certificates, and whether they are valid now.
func (c *specCheck) pem(property, text string) bool {
	const form = "it must be PEM: -----BEGIN CERTIFICATE----- and so on, its line breaks kept"
	found := 0
	for rest := []byte(text); ; found++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && found == 0:
			c.fail(property, "there is no certificate in it", form)
			return false
		case block == nil && strings.Contains(string(rest), "-----BEGIN"):
			c.fail(property, fmt.Sprintf("it is broken behind certificate %d", found), form)
			return false
		case block == nil:
			return true
		case block.Type != "CERTIFICATE":
			c.fail(property, fmt.Sprintf("there is a %s in it", strings.ToLower(block.Type)), "only certificates belong there")
			return false
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c.fail(property, fmt.Sprintf("certificate %d can't be read: %v", found+1, err), form)
			return false
		}
		c.validity(property, cert)
	}
}

func (c *specCheck) validity(property string, cert *x509.Certificate) {
	switch {
	case c.now.After(cert.NotAfter):
		c.warn(property, fmt.Sprintf("the certificate of %q expired on %s", cert.Subject, cert.NotAfter.UTC().Format(time.DateOnly)), "renew it")
	case c.now.Before(cert.NotBefore):
		c.warn(property, fmt.Sprintf("the certificate of %q is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.DateOnly)), "is this machine's clock right?")
	}
}

// key checks that a text is a private key that dockerd can read.
func (c *specCheck) key(property, text string) bool {
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		c.fail(property, "there is no private key in it", "it must be PEM: -----BEGIN PRIVATE KEY----- and so on, its line breaks kept")
		return false
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		c.fail(property, "it is encrypted, and dockerd has no passphrase for it", "decrypt it: `openssl pkey` does")
		return false
	}
	return true
}

// pair checks that key and certificate belong together.
func (c *specCheck) pair(path string, r Registry) {
	_, err := tls.X509KeyPair([]byte(r.ClientCert), []byte(r.ClientKey))
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "does not match"):
		c.fail(path+"client_key", "it does not belong to client_cert", "")
	default:
		c.fail(path+"client_key", "it can't be read", "PKCS #1, PKCS #8 and SEC 1 keys can: RSA, ECDSA, Ed25519")
	}
}
