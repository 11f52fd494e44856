/* A light SSH server for benchmarks of clients: it lets any public key in and answers any command with filler.
 *
 * A real sshd forks and costs some 22 ms of CPU a session, and a server in Python as much as a client in Python: beside
 * either, a faster client only waits. This one is a thread a connection of libssh (0.10), without any process.
 *
 *     cc -O2 -Wno-deprecated-declarations -o light_server light_server.c -lssh -lpthread
 *     ./light_server PORT HOST_KEY BYTES
 *
 * It prints "ready" once it listens, on all of 127.0.0.0/8. To the auditor's program (`sh -s`, known by its nonce) it
 * answers in the program's own frames, ten files of together BYTES; to anything else with BYTES of filler.
 */
#include <arpa/inet.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILES 10
#define NONCE 32

static const char LINE[] = "# a line of a configuration that is neither short nor long\n";
static ssh_bind bound;
static size_t total;
static char *filler;

static void fail(const char *what)
{
    fprintf(stderr, "light_server: %s\n", what);
    exit(1);
}

/* Reads standard input to its end, and answers as the program would whose nonce stands at its beginning. */
static void answer(ssh_channel channel, int program)
{
    char text[65536], nonce[NONCE + 1] = "";
    int count;

    while (program && (count = ssh_channel_read(channel, text, sizeof text, 0)) > 0)
        if (!nonce[0] && count > NONCE + 2 && text[0] == 'N' && text[1] == '=')
            memcpy(nonce, text + 2, NONCE);
    if (!nonce[0]) {
        ssh_channel_write(channel, filler, (uint32_t)total);
        return;
    }
    size_t body = total / FILES / (sizeof LINE - 1) * (sizeof LINE - 1), used = 0, room = total + FILES * 256 + 256;
    char *out = malloc(room);
    if (!out)
        return;
    used += (size_t)snprintf(out + used, room - used, "\n%s.1 START 1\n", nonce);
    for (int number = 0; number < FILES; number++) {
        int at = 2 * number + 2;
        used += (size_t)snprintf(out + used, room - used, "\n%s.%d BEGIN FILE /etc/cron.d/job%d\n", nonce, at, number);
        memcpy(out + used, filler, body);
        used += body;
        used += (size_t)snprintf(out + used, room - used, "\n%s.%d END 0\n", nonce, at + 1);
    }
    used += (size_t)snprintf(out + used, room - used, "\n%s.%d DONE %d\n", nonce, 2 * FILES + 2, FILES);
    ssh_channel_write(channel, out, (uint32_t)used);
    free(out);
}

static void request(ssh_message message, ssh_channel *channel)
{
    int type = ssh_message_type(message), subtype = ssh_message_subtype(message);
    int state = ssh_message_auth_publickey_state(message);

    if (type == SSH_REQUEST_AUTH && subtype == SSH_AUTH_METHOD_PUBLICKEY) {
        if (state == SSH_PUBLICKEY_STATE_NONE) {
            ssh_message_auth_reply_pk_ok_simple(message);
            return;
        }
        if (state == SSH_PUBLICKEY_STATE_VALID) {
            ssh_message_auth_reply_success(message, 0);
            return;
        }
    } else if (type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_SESSION && !*channel) {
        *channel = ssh_message_channel_request_open_reply_accept(message);
        return;
    } else if (type == SSH_REQUEST_CHANNEL && subtype == SSH_CHANNEL_REQUEST_EXEC && *channel) {
        int program = strstr(ssh_message_channel_request_command(message), "sh -s") != NULL;
        ssh_message_channel_request_reply_success(message);
        answer(*channel, program);
        ssh_channel_request_send_exit_status(*channel, 0);
        ssh_channel_send_eof(*channel);
        ssh_channel_close(*channel);
        ssh_channel_free(*channel);
        *channel = NULL;
        return;
    }
    if (type == SSH_REQUEST_AUTH)
        ssh_message_auth_set_methods(message, SSH_AUTH_METHOD_PUBLICKEY);
    ssh_message_reply_default(message);
}

static void *serve(void *argument)
{
    ssh_session session = argument;
    ssh_channel channel = NULL;
    ssh_message message;

    if (ssh_handle_key_exchange(session) == SSH_OK)
        while ((message = ssh_message_get(session))) {
            request(message, &channel);
            ssh_message_free(message);
        }
    ssh_disconnect(session);
    ssh_free(session);
    return NULL;
}

int main(int count, char **words)
{
    if (count != 4)
        fail("PORT HOST_KEY BYTES");
    total = (size_t)atol(words[3]);
    filler = malloc(total + sizeof LINE);
    if (!filler)
        fail("no memory");
    for (size_t at = 0; at < total; at += sizeof LINE - 1)
        memcpy(filler + at, LINE, sizeof LINE - 1);

    bound = ssh_bind_new();
    if (!bound || ssh_bind_options_set(bound, SSH_BIND_OPTIONS_HOSTKEY, words[2]) ||
        ssh_bind_options_set(bound, SSH_BIND_OPTIONS_CIPHERS_C_S, "aes128-gcm@openssh.com,aes128-ctr") ||
        ssh_bind_options_set(bound, SSH_BIND_OPTIONS_CIPHERS_S_C, "aes128-gcm@openssh.com,aes128-ctr"))
        fail("the host key or the ciphers can't be used");

    int on = 1, listening = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[1]))};
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&place, sizeof place) || listen(listening, 1024))
        fail("the port can't be listened on");
    puts("ready");
    fflush(stdout);

    for (;;) {
        int connection = accept(listening, NULL, NULL);
        ssh_session session = ssh_new();
        pthread_t thread;

        if (connection < 0 || !session)
            continue;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (ssh_bind_accept_fd(bound, session, connection) != SSH_OK || pthread_create(&thread, NULL, serve, session)) {
            fprintf(stderr, "light_server: a connection was refused: %s\n", ssh_get_error(bound));
            ssh_free(session);
            continue;
        }
        pthread_detach(thread);
    }
}
