/*
 * tests/fuzz/authority.h - an authority and a certificate of it, for a century, so that a fuzzer
 * has something to be judged by. Whoever reads this has the certificate's key: it is worth nothing.
 */
#ifndef TESTS_FUZZ_AUTHORITY_H
#define TESTS_FUZZ_AUTHORITY_H

static const char authority_pem[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBdjCCARugAwIBAgIUMdXiO1E8PB0++OPpb/ZuLdokyCYwCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjIwOTM1NTJaGA8yMTI2MTAyOTA5MzU1\n"
	"MlowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHAJ\n"
	"H9IddUfm1TKKhx3kwjjZwJgYdeVIeRSEvKLcml81B5CPdacMV/Exlg5s5OAtKKC4\n"
	"p1EWG5k4V2giCwE+7XKjUzBRMB0GA1UdDgQWBBQ8JzuzVQsk4s8CiF/gjkSQRUYg\n"
	"EDAfBgNVHSMEGDAWgBQ8JzuzVQsk4s8CiF/gjkSQRUYgEDAPBgNVHRMBAf8EBTAD\n"
	"AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDgSe5K9T6zCfx7N7fvaWyzpQixn8HvSs9O\n"
	"GQyU+gEfBwIhALjvL9MO5b1SXDz9lHlLqz7ls5qj3KlMRJAdqfBm4OaT\n"
	"-----END CERTIFICATE-----\n";

static const char certificate_pem[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBFzCBvgIUMFN5a0HHHS7PE5+DygaQaWAYjLQwCgYIKoZIzj0EAwIwDzENMAsG\n"
	"A1UEAwwEZnV6ejAgFw0yNjExMjIwOTM1NTJaGA8yMTI2MTAyOTA5MzU1MlowDDEK\n"
	"MAgGA1UEAwwBczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABK7Z5CcMLGSu5FdT\n"
	"8SXXU/p1gB3JRc/Gxk60vbUOVDrOVZKZFpZ/Cw/OSXlEwgVPQTRFelUtACryxa91\n"
	"2aurGNwwCgYIKoZIzj0EAwIDSAAwRQIgau6n5GxjV108mQXE/7x3l76flD8b63ZE\n"
	"X5j2QsZ/UasCIQC6VtAypu2wxCUB+H69daNJV01vAj2MCaPIDcozebuYEA==\n"
	"-----END CERTIFICATE-----\n";

static const char certificate_key_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpOQTdOi68ebQeX+u\n"
	"dsRSbYumqlHCATSqIlTDS0yi3yahRANCAASu2eQnDCxkruRXU/El11P6dYAdyUXP\n"
	"xsZOtL21DlQ6zlWSmRaWfwsPzkl5RMIFT0E0RXpVLQAq8sWvddmrqxjc\n"
	"-----END PRIVATE KEY-----\n";

#endif /* TESTS_FUZZ_AUTHORITY_H */
