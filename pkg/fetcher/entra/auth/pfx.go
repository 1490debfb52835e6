package auth

import (
	"errors"

	"software.sslmate.com/src/go-pkcs12"
)

var (
	errPassword = errors.New("it cannot be opened: certificate_password_file is missing or holds another password, or the file is neither PEM nor PKCS#12")
	errPFX      = errors.New("it is no PKCS#12 file with one key and its certificate that can be read here: export it again with AES-256 and SHA-256, as `openssl pkcs12 -export` does")
)

// readPFX gives the certificates and the key of a PKCS#12 file, as OpenSSL and Windows write it. The library's errors may quote
// what is in the file.
func readPFX(file []byte, password string) (certs [][]byte, keys []any, err error) {
	key, cert, chain, err := pkcs12.DecodeChain(file, password)
	var unknown pkcs12.NotImplementedError
	switch {
	case errors.As(err, &unknown):
		return nil, nil, errPFX
	case err != nil:
		return nil, nil, errPassword
	}
	certs = append(certs, cert.Raw)
	for _, c := range chain {
		certs = append(certs, c.Raw)
	}
	return certs, []any{key}, nil
}
