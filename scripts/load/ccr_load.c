/* Drives voice sessions CCR-I/U../T over pipelined Diameter connections, as cheaply as it can, and measures.
 *
 * A slot is one session with at most one request under way; there are as many slots as requests are to be in flight.
 * An answer makes the slot's next request at once, with the granted time as the usage; all requests that one read
 * gave rise to leave in one write. With --retry a lost connection is opened again and what was not answered is sent
 * again with the T flag and the same numbers (RFC 6733, section 5.5.4; RFC 8506, section 10.2), as real clients do.
 * With --ledger every answer that arrived is written down, for a later look at whether it was true.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diameter.h"
#include "measure.h"

enum { SLOTS_MAX = 4096, CONNECTIONS_MAX = 64, INPUT_OCTETS = 1 << 18, RETRY_WAIT_MS = 50 };
enum { GENERATION_SHIFT = 12 }; /* a hop-by-hop id is generation and slot: SLOTS_MAX is 2^12 */
static const uint32_t NTP_TO_UNIX_S = 2208988800u;

static struct {
    const char *host, *origin_host, *origin_realm, *destination_realm, *called, *context, *prefix, *ledger;
    long long port, connections, in_flight, accounts, first_account, seconds, sessions, updates, requested_s, seed, run;
    long long retry, open_only, dump, answer_s, drain_s, failover_port;
} options = {.host = "127.0.0.1", .origin_host = "load.example.net", .origin_realm = "example.net",
             .destination_realm = "example.net", .called = "sip:+442079460123@example.net",
             .context = "ext.01.001.8.32260@3gpp.org", .prefix = "4915", .port = 3868, .connections = 4,
             .in_flight = 64, .accounts = 10000, .seconds = 10, .sessions = 1LL << 40, .updates = 3,
             .requested_s = 60, .seed = 1, .answer_s = 10, .drain_s = 30};

static const Option OPTIONS[] = {
    {"--host", NULL, &options.host, 0, 0, "address of the server"},
    {"--port", &options.port, NULL, 1, 65535, "its port"},
    {"--connections", &options.connections, NULL, 1, CONNECTIONS_MAX, "connections"},
    {"--in-flight", &options.in_flight, NULL, 1, SLOTS_MAX, "requests under way, over all connections"},
    {"--accounts", &options.accounts, NULL, 1, 99999999, "how many numbers call"},
    {"--first-account", &options.first_account, NULL, 0, 99999999, "the lowest of them"},
    {"--prefix", NULL, &options.prefix, 0, 0, "four digits before the eight of the account"},
    {"--called", NULL, &options.called, 0, 0, "Called-Party-Address"},
    {"--context", NULL, &options.context, 0, 0, "Service-Context-Id"},
    {"--origin-host", NULL, &options.origin_host, 0, 0, "Origin-Host, after \"c00.\" for the first connection"},
    {"--origin-realm", NULL, &options.origin_realm, 0, 0, "Origin-Realm"},
    {"--realm", NULL, &options.destination_realm, 0, 0, "Destination-Realm"},
    {"--seconds", &options.seconds, NULL, 1, 86400, "start no session after so many seconds"},
    {"--sessions", &options.sessions, NULL, 1, 1LL << 40, "start at most so many sessions"},
    {"--updates", &options.updates, NULL, 0, 1000, "CCR-U per session"},
    {"--requested", &options.requested_s, NULL, 1, 0x7fffffff, "seconds asked for in CCR-I and CCR-U"},
    {"--seed", &options.seed, NULL, 0, 1LL << 60, "chance"},
    {"--run", &options.run, NULL, 0, 9999999999LL, "number of this run in every Session-Id; 0: the time"},
    {"--answer-seconds", &options.answer_s, NULL, 1, 3600, "how long an answer may take (RFC 8506: Tx)"},
    {"--drain-seconds", &options.drain_s, NULL, 1, 3600, "how long open sessions may take to end"},
    {"--open-only", &options.open_only, NULL, 0, 1, "send CCR-I only and leave the sessions open"},
    {"--retry", &options.retry, NULL, 0, 1, "outlive lost connections; send again with the T flag"},
    {"--failover-port", &options.failover_port, NULL, 1, 65535, "another server's port, tried in turn after a loss"},
    {"--ledger", NULL, &options.ledger, 0, 0, "file for every answer that arrived"},
    {"--dump", &options.dump, NULL, 0, 1, "print the templates as hex and stop"},
    {0},
};

typedef enum { IDLE, PENDING, WAITING } SlotState; /* WAITING: a temporary error; sent again at resend_ns */
typedef struct {
    SlotState state;
    uint64_t session, account;
    uint32_t generation, number, used_s, event_ntp;
    int type, connection, sent_times;
    int64_t first_sent_ns, sent_ns, resend_ns;
} Slot;

typedef enum { DOWN, CONNECTING, GREETING, OPEN } ConnectionState;
typedef struct {
    ConnectionState state;
    int fd, losses;
    int64_t retry_ns, opened_ns;
    size_t input_length, output_start, output_length, output_size;
    uint8_t *input, *output;
} Connection;

typedef struct {
    bool complete;
    uint32_t result, group_result, granted_s, number;
    bool has_final;
} Answer;

static Slot slots[SLOTS_MAX];
static Connection connections[CONNECTIONS_MAX];
static Template templates[TERMINATION + 1], greeting;
static Names names;
static Histogram latency[TERMINATION + 1]; /* 0: all types */
static CodeCount result_codes[CODES_MAX], group_codes[CODES_MAX];
static unsigned long long sessions_started, sessions_ended, sessions_refused, answers, late_answers, retransmissions;
static unsigned long long reconnects, octets_sent;
static uint64_t chance;
static FILE *ledger;
static int64_t now_ns, deadline_ns;
static uint32_t now_ntp;

static void read_clock(void) {
    now_ns = clock_ns(CLOCK_MONOTONIC);
    now_ntp = (uint32_t)(clock_ns(CLOCK_REALTIME_COARSE) / NS_PER_S) + NTP_TO_UNIX_S;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static uint8_t *room(Connection *c, size_t octets) {
    if (c->output_start > 0 && c->output_start + c->output_length + octets > c->output_size) {
        memmove(c->output, c->output + c->output_start, c->output_length);
        c->output_start = 0;
    }
    if (c->output_length + octets > c->output_size) {
        c->output_size = 2 * (c->output_length + octets);
        c->output = realloc(c->output, c->output_size);
        if (!c->output) fail(EXIT_LOST, "out of memory");
    }
    uint8_t *at = c->output + c->output_start + c->output_length;
    c->output_length += octets;
    return at;
}

/* The octets of a message, at their place in the connection's output. */
static uint8_t *queue(int connection, const Template *t) {
    uint8_t *at = memcpy(room(&connections[connection], t->length), t->octets, t->length);
    for (size_t n = 0; n < t->host_places; n++) put_digits(at + t->host_ends[n], HOST_DIGITS, (uint64_t)connection);
    octets_sent += t->length;
    return at;
}

static uint32_t identity_of(const Slot *s) { return s->generation << GENERATION_SHIFT | (uint32_t)(s - slots); }

static void queue_request(Slot *slot) {
    const Template *t = &templates[slot->type];
    uint8_t *at = queue(slot->connection, t);
    if (slot->sent_times++) {
        at[4] |= FLAG_RETRANSMITTED;
        retransmissions++;
    } else {
        slot->first_sent_ns = now_ns;
    }
    uint32_t identity = identity_of(slot);
    put32(at + 12, identity);
    put32(at + 16, (uint32_t)options.run << 24 ^ identity); /* unique for longer than the 4 minutes of RFC 6733 */
    put_digits(at + t->session_end, SESSION_DIGITS, slot->session);
    put_digits(at + t->call_id_end, SESSION_DIGITS, slot->session);
    for (size_t place = 0; place < t->msisdn_places; place++)
        put_digits(at + t->msisdn_ends[place], MSISDN_DIGITS - 4, slot->account);
    put32(at + t->request_number, slot->number);
    put32(at + t->event_timestamp, slot->event_ntp);
    if (t->used) put32(at + t->used, slot->used_s);
    slot->state = PENDING;
    slot->sent_ns = now_ns;
}

static void next_request(Slot *slot, int type, uint32_t number, uint32_t used_s) {
    slot->type = type;
    slot->number = number;
    slot->used_s = used_s;
    slot->event_ntp = now_ntp; /* kept for a repeat: it must be the same request */
    slot->generation++;
    slot->sent_times = 0;
    queue_request(slot);
}

static bool may_start(void) {
    return !is_stopping && now_ns < deadline_ns && sessions_started < (unsigned long long)options.sessions;
}

static void start_session(Slot *slot) {
    slot->state = IDLE;
    if (!may_start()) return;
    slot->session = sessions_started++;
    uint64_t account = options.open_only ? slot->session : next_random(&chance);
    slot->account = (uint64_t)options.first_account + account % (uint64_t)options.accounts;
    next_request(slot, INITIAL, 0, 0);
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static bool next_of(Walk *walk) {
    int found = next_avp(walk);
    if (found < 0) fail(EXIT_LOST, "an answer holds a broken AVP");
    return found;
}

static uint32_t number_of(const Walk *walk) {
    if (walk->length != 4) fail(EXIT_LOST, "AVP %u of an answer is no Unsigned32", walk->code);
    return get32(walk->data);
}

static void read_group(const Walk *group, Answer *answer) {
    Walk walk = {.at = group->data, .end = group->data + group->length};
    while (next_of(&walk)) {
        if (walk.code == 268) answer->group_result = number_of(&walk);
        if (walk.code == 430) answer->has_final = true;
        if (walk.code != 431) continue;
        Walk units = {.at = walk.data, .end = walk.data + walk.length};
        while (next_of(&units))
            if (units.code == 420) answer->granted_s = number_of(&units);
    }
}

static Answer read_answer(const Slot *slot, const uint8_t *frame, size_t length) {
    Answer answer = {0};
    Walk walk = {.at = frame + HEADER_OCTETS, .end = frame + length};
    while (next_of(&walk)) {
        if (walk.code == 268) answer.result = number_of(&walk);
        else if (walk.code == 415) answer.number = number_of(&walk);
        else if (walk.code == 456) read_group(&walk, &answer);
        else if (walk.code == 263) {
            uint8_t digits[SESSION_DIGITS];
            put_digits(digits + SESSION_DIGITS, SESSION_DIGITS, slot->session);
            answer.complete = walk.length == templates[INITIAL].session_id_length &&
                              !memcmp(digits, walk.data + walk.length - SESSION_DIGITS, SESSION_DIGITS);
        }
    }
    answer.complete = answer.complete && answer.result && answer.number == slot->number;
    return answer;
}

static void write_ledger(const Slot *slot, const Answer *answer) {
    if (!ledger) return;
    fprintf(ledger, "c%02d.%s;%010lld;%010llu\t%s%08llu\t%d\t%u\t%u\t%u\t%u\t%u\t%d\n", slot->connection,
            options.origin_host, options.run, (unsigned long long)slot->session, options.prefix,
            (unsigned long long)slot->account, slot->type, slot->number, answer->result, answer->group_result,
            slot->used_s, answer->granted_s, slot->sent_times);
}

static void end_session(Slot *slot, bool is_good) {
    sessions_ended += is_good;
    sessions_refused += !is_good;
    start_session(slot);
}

/* What the session does next. A refused CCR-U is followed by a CCR-T, as Kamailio does; an unknown session by none. */
static void advance(Slot *slot, const Answer *answer) {
    bool is_granted = answer->result == 2001 && answer->granted_s > 0;
    if (slot->type == TERMINATION) end_session(slot, answer->result == 2001);
    else if (slot->type == INITIAL && (!is_granted || options.open_only)) end_session(slot, is_granted);
    else if (answer->result == 5002) end_session(slot, false);
    else if (is_granted && !answer->has_final && slot->number < (uint32_t)options.updates)
        next_request(slot, UPDATE, slot->number + 1, answer->granted_s);
    else next_request(slot, TERMINATION, slot->number + 1, answer->granted_s);
}

static void on_answer(const uint8_t *frame, size_t length) {
    uint32_t identity = get32(frame + 12);
    Slot *slot = &slots[identity % SLOTS_MAX];
    if (slot->state == IDLE || identity != identity_of(slot)) {
        late_answers++; /* the answer to a request whose repeat was answered already */
        return;
    }
    Answer answer = read_answer(slot, frame, length);
    if (!answer.complete) fail(EXIT_LOST, "an answer lacks its Result-Code or names another session or number");
    count_code(result_codes, answer.result);
    if (answer.group_result) count_code(group_codes, answer.group_result);
    answers++;
    write_ledger(slot, &answer);
    /* UNABLE_TO_DELIVER and TOO_BUSY say: nothing is decided, ask again. */
    if (options.retry && (answer.result == 3002 || answer.result == 3004)) {
        slot->state = WAITING;
        slot->resend_ns = now_ns + RETRY_WAIT_MS * NS_PER_MS;
        return;
    }
    record(&latency[slot->type], now_ns - slot->first_sent_ns);
    record(&latency[0], now_ns - slot->first_sent_ns);
    advance(slot, &answer);
}

/* ---- connections ----------------------------------------------------------------------------------------------- */

static void lose(Connection *c, const char *why) {
    int code = c->state == OPEN ? EXIT_LOST : EXIT_NO_CONNECTION;
    if (!options.retry) fail(code, "%s:%lld: %s", options.host, options.port, why);
    if (c->fd >= 0) close(c->fd);
    if (c->state == OPEN) reconnects++;
    c->fd = -1, c->state = DOWN, c->losses++;
    c->input_length = c->output_start = c->output_length = 0;
    c->retry_ns = now_ns + RETRY_WAIT_MS * NS_PER_MS;
}

static void open_connection(Connection *c) {
    long long port = options.failover_port && c->losses % 2 ? options.failover_port : options.port;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        fail(EXIT_USAGE, "%s is no IPv4 address", options.host);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->state = CONNECTING;
    c->opened_ns = now_ns;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        lose(c, strerror(errno));
}

static void greet(Connection *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        lose(c, strerror(error));
        return;
    }
    c->state = GREETING;
    queue((int)(c - connections), &greeting);
}

static void on_greeting(Connection *c, const uint8_t *frame, size_t length) {
    Answer answer = read_answer(&slots[0], frame, length);
    if (answer.result != 2001) { /* with --retry: it may not have noticed yet that the old connection is gone */
        if (!options.retry) fail(EXIT_NO_CONNECTION, "the server refuses the connection with result %u", answer.result);
        return;
    }
    c->state = OPEN;
    for (int at = (int)(c - connections); at < options.in_flight; at += (int)options.connections) {
        if (slots[at].state != IDLE) queue_request(&slots[at]);
        else start_session(&slots[at]);
    }
}

static void on_frame(Connection *c, const uint8_t *frame, size_t length) {
    uint32_t command = get24(frame + 5);
    if (frame[4] & FLAG_REQUEST) {
        if (command != CMD_DWR && command != CMD_DPR) return; /* RAR, ASR: some real clients are as deaf */
        static Template reply;
        build_base_answer(&reply, &names, frame);
        queue((int)(c - connections), &reply);
    } else if (command == CMD_CER) {
        on_greeting(c, frame, length);
    } else if (command == CMD_CCR) {
        on_answer(frame, length);
    }
}

static void receive(Connection *c) {
    ssize_t count = recv(c->fd, c->input + c->input_length, INPUT_OCTETS - c->input_length, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    read_clock();
    if (count <= 0) {
        lose(c, count ? strerror(errno) : "the server closed the connection");
        return;
    }
    size_t start = 0;
    c->input_length += (size_t)count;
    while (c->input_length - start >= HEADER_OCTETS) {
        size_t length = get24(c->input + start + 1);
        if (c->input[start] != 1 || length < HEADER_OCTETS || length > INPUT_OCTETS)
            fail(EXIT_LOST, "an answer is not Diameter");
        if (c->input_length - start < length) break;
        on_frame(c, c->input + start, length);
        start += length;
    }
    c->input_length -= start;
    memmove(c->input, c->input + start, c->input_length);
}

static void transmit(Connection *c) {
    if (c->state < GREETING || c->output_length == 0) return;
    ssize_t count = send(c->fd, c->output + c->output_start, c->output_length, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) lose(c, strerror(errno));
    if (count < 0) return;
    c->output_start += (size_t)count;
    c->output_length -= (size_t)count;
    if (c->output_length == 0) c->output_start = 0;
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void look_at_time(void) {
    for (int at = 0; at < options.connections; at++) {
        Connection *c = &connections[at];
        if (c->state == DOWN && now_ns >= c->retry_ns) open_connection(c);
        bool is_opening = c->state == CONNECTING || c->state == GREETING;
        if (is_opening && now_ns - c->opened_ns > options.answer_s * NS_PER_S) lose(c, "no answer to the greeting");
    }
    for (int at = 0; at < options.in_flight; at++) {
        Slot *slot = &slots[at];
        bool is_late = slot->state == PENDING && now_ns - slot->sent_ns > options.answer_s * NS_PER_S;
        if (is_late && !options.retry) fail(EXIT_LOST, "no answer within %lld seconds", options.answer_s);
        if (connections[slot->connection].state != OPEN) continue;
        if (is_late || (slot->state == WAITING && now_ns >= slot->resend_ns)) queue_request(slot);
    }
}

static int count_busy(void) {
    int busy = 0;
    for (int at = 0; at < options.in_flight; at++) busy += slots[at].state != IDLE;
    return busy;
}

static void serve_connections(void) {
    struct pollfd polls[CONNECTIONS_MAX];
    for (int at = 0; at < options.connections; at++) {
        Connection *c = &connections[at];
        short events = c->state == CONNECTING || c->output_length > 0 ? POLLIN | POLLOUT : POLLIN;
        polls[at] = (struct pollfd){.fd = c->state == DOWN ? -1 : c->fd, .events = events};
    }
    poll(polls, (nfds_t)options.connections, 10);
    read_clock();
    for (int at = 0; at < options.connections; at++) {
        Connection *c = &connections[at];
        if (c->state == CONNECTING && polls[at].revents) greet(c);
        else if (c->state >= GREETING && polls[at].revents & ~POLLOUT) receive(c);
        transmit(c);
    }
}

/* Returns the answers that arrived before the deadline: the drain is not part of the measurement. */
static uint64_t run(int64_t *measured_ns) {
    int64_t started_ns = now_ns, looked_ns = 0, end_ns = deadline_ns + options.drain_s * NS_PER_S;
    uint64_t measured = 0;
    *measured_ns = 0;
    for (;;) {
        if (now_ns - looked_ns > 5 * NS_PER_MS) looked_ns = now_ns, look_at_time();
        serve_connections();
        bool is_over = !may_start(), is_idle = is_over && count_busy() == 0;
        if (*measured_ns == 0 && (is_idle || is_stopping || now_ns >= deadline_ns)) {
            *measured_ns = now_ns - started_ns;
            measured = answers;
            end_ns = now_ns + options.drain_s * NS_PER_S;
        }
        if (is_idle || now_ns > end_ns) return measured;
    }
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

static void print_result(uint64_t measured, int64_t measured_ns) {
    double seconds = (double)measured_ns / 1e9;
    printf("{\n  \"seconds\": %.3f, \"answers\": %llu, ", seconds, answers);
    printf("\"answers_per_s\": %.0f,\n", seconds > 0 ? (double)measured / seconds : 0.0);
    printf("  \"sessions\": {\"started\": %llu, \"ended\": %llu, \"refused\": %llu, \"unfinished\": %d},\n",
           sessions_started, sessions_ended, sessions_refused, count_busy());
    printf("  \"connections\": %lld, \"in_flight\": %lld, \"accounts\": %lld, \"run\": %lld,\n", options.connections,
           options.in_flight, options.accounts, options.run);
    printf("  \"request_octets\": {\"initial\": %zu, \"update\": %zu, \"termination\": %zu},\n",
           templates[INITIAL].length, templates[UPDATE].length, templates[TERMINATION].length);
    printf("  \"latency\": {");
    print_histogram("all", &latency[0], ", ");
    print_histogram("initial", &latency[INITIAL], ", ");
    print_histogram("update", &latency[UPDATE], ", ");
    print_histogram("termination", &latency[TERMINATION], "},\n");
    print_codes("result_codes", result_codes);
    print_codes("group_codes", group_codes);
    printf("  \"retransmissions\": %llu, \"late_answers\": %llu, \"reconnects\": %llu,\n", retransmissions,
           late_answers, reconnects);
    printf("  \"octets_sent\": %llu, \"client_cpu_us\": %lld\n}\n", octets_sent, cpu_us());
}

static void prepare(void) {
    const char *texts[] = {options.origin_host, options.origin_realm, options.destination_realm, options.called,
                           options.context};
    for (size_t at = 0; at < sizeof texts / sizeof *texts; at++)
        if (strlen(texts[at]) > 100) fail(EXIT_USAGE, "%s is longer than 100 characters", texts[at]);
    if (strlen(options.prefix) != 4 || strspn(options.prefix, "0123456789") != 4)
        fail(EXIT_USAGE, "--prefix takes four digits");
    if (options.run == 0) options.run = clock_ns(CLOCK_REALTIME) / NS_PER_S % 10000000000LL;
    chance = (uint64_t)options.seed;
    read_clock();
    names = (Names){options.origin_host, options.origin_realm, options.destination_realm, options.called,
                    options.context, (uint32_t)options.requested_s, now_ntp};
    for (int type = INITIAL; type <= TERMINATION; type++) {
        Template *t = &templates[type];
        build_request(t, &names, type);
        put_digits(t->octets + t->session_end - SESSION_DIGITS - 1, RUN_DIGITS, (uint64_t)options.run);
        for (size_t place = 0; place < t->msisdn_places; place++) {
            uint8_t *end = t->octets + t->msisdn_ends[place];
            memcpy(end - MSISDN_DIGITS, options.prefix, 4);
            put_digits(end, MSISDN_DIGITS - 4, (uint64_t)options.first_account);
        }
    }
    build_capabilities(&greeting, &names);
}

int main(int count, char **words) {
    read_options(count, words, OPTIONS);
    prepare();
    if (options.dump) {
        const char *titles[] = {"capabilities", "initial", "update", "termination"};
        templates[0] = greeting;
        for (int type = 0; type <= TERMINATION; type++)
            print_hex(titles[type], templates[type].octets, templates[type].length);
        return 0;
    }
    if (options.ledger && !(ledger = fopen(options.ledger, "w")))
        fail(EXIT_USAGE, "%s: %s", options.ledger, strerror(errno));
    stop_on_signals();
    for (int at = 0; at < options.in_flight; at++) slots[at].connection = at % (int)options.connections;
    for (int at = 0; at < options.connections; at++) {
        connections[at] = (Connection){.fd = -1, .input = malloc(INPUT_OCTETS)};
        if (!connections[at].input) fail(EXIT_LOST, "out of memory");
    }
    deadline_ns = now_ns + options.seconds * NS_PER_S;
    int64_t measured_ns;
    uint64_t measured = run(&measured_ns);
    print_result(measured, measured_ns);
    if (ledger && fclose(ledger) != 0) fail(EXIT_LOST, "%s: %s", options.ledger, strerror(errno));
    return count_busy() ? EXIT_LOST : 0;
}
