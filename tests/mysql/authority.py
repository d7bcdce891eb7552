"""A certificate authority in a folder, by the openssl command.

    ours = Authority(folder, 'ours')
    ours.issue('/path/server1', 'server1', days=-1)     # writes /path/server1.pem and /path/server1-key.pem
"""
import subprocess

CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']


def openssl(*words):
    subprocess.run(['openssl', *words], check=True, capture_output=True)


class Authority:
    def __init__(self, folder, name):
        self.path = f'{folder}/{name}.pem'
        self.key = f'{folder}/{name}-key.pem'
        openssl('req', '-x509', *CURVE, '-keyout', self.key, '-out', self.path, '-subj', f'/CN={name}', '-days', '30')

    def issue(self, path, name, alternative=None, days=10):
        """For `name`, and if given what `alternative` says, as 'IP:10.0.0.1'; with -1 days it has ended."""
        with open(f'{path}.ext', 'w', encoding='ascii') as file:
            file.write('basicConstraints = CA:FALSE\n' + (f'subjectAltName = {alternative}\n' if alternative else ''))
        openssl('req', *CURVE, '-keyout', f'{path}-key.pem', '-out', f'{path}.csr', '-subj', f'/CN={name}')
        openssl('x509', '-req', '-in', f'{path}.csr', '-CA', self.path, '-CAkey', self.key, '-CAcreateserial',
                '-out', f'{path}.pem', '-days', str(days), '-extfile', f'{path}.ext')
