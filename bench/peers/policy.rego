# What the meshbind policy of the bench asks of a warm check, for OPA-Envoy. It is kept cheap on purpose: who presents is
# read from Envoy's principal, the certificate is hashed and not parsed, and its validity is left to Envoy.
package meshbind.bench

default allow := false

allow if {
	request.method == "POST"
	startswith(request.path, "/v1/payments/")
	startswith(input.attributes.source.principal, "spiffe://mesh.example/ns/shop/")
	startswith(request.headers.authorization, "Bearer ")
	token := substring(request.headers.authorization, 7, -1)
	[valid, header, claims] := io.jwt.decode_verify(token, {
		"cert": data.keys.jwks,
		"alg": "ES256",
		"iss": "https://idp.example",
		"aud": "https://payments.mesh.example",
	})
	valid
	header.typ == "at+jwt"
	claims.exp - claims.iat <= 3600
	"payments.write" in split(claims.scope, " ")
	claims.cnf["x5t#S256"] == thumbprint
}

request := input.attributes.request.http

# RFC 8705 section 3.1: the SHA-256 of the certificate's DER, in base64url.
thumbprint := base64url.encode_no_pad(hex.decode(crypto.sha256(base64.decode(base64_der))))

base64_der := replace(body, "\n", "") if {
	pem := urlquery.decode(input.attributes.source.certificate)
	body := trim_suffix(
		trim_prefix(pem, "-----BEGIN CERTIFICATE-----\n"),
		"\n-----END CERTIFICATE-----\n",
	)
}
