/* Datagrams by the batch: one call of the kernel for up to 64, and no new address for a sender who is known.
 *
 * Sources are what Python's sockets give: (host, port), or (host, port, flowinfo, scope) for IPv6; ``local`` is the address
 * that was asked, as the kernel tells it of a socket that is bound to all (in_pktinfo, in6_pktinfo), else empty. Nothing here
 * waits, so the interpreter's lock is kept and the buffers may be static. Linux alone has these calls (recvmmsg(2), sendmmsg(2)).
 *
 * Replies of one length to one client leave as one message that the kernel, or the card, cuts into datagrams (UDP_SEGMENT,
 * udp(7)): they pass through the stack once. Most answers to accounting are 20 octets, so most of a turn is one message. */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM_OCTETS_MAX 8192
#define KNOWN 64 /* a power of two */
#define SEGMENT_OCTETS_MAX 1000 /* fits every path whole; BATCH of them fit one message */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define CONTROL_OCTETS (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t)))

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

typedef struct {
    address raw;
    socklen_t octets;
    PyObject *source;
} known_address;

typedef struct {
    PyObject *octets, *local;
    socklen_t address_octets;
    bool is_placed;
} reply;

static known_address known[KNOWN]; /* by port */
static char buffers[BATCH][DATAGRAM_OCTETS_MAX];
static address addresses[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static reply replies[BATCH];
static _Alignas(struct cmsghdr) char controls[BATCH][CONTROL_OCTETS];
static int can_segment = -1; /* not yet known */

static known_address *place_of(int port) { return &known[port & (KNOWN - 1)]; }

static PyObject *new_source(const address *raw) {
    char host[INET6_ADDRSTRLEN];
    if (raw->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &raw->v4.sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, ntohs(raw->v4.sin_port));
    }
    inet_ntop(AF_INET6, &raw->v6.sin6_addr, host, sizeof host);
    return Py_BuildValue("(siII)", host, ntohs(raw->v6.sin6_port), ntohl(raw->v6.sin6_flowinfo), raw->v6.sin6_scope_id);
}

static PyObject *source_of(const address *raw, socklen_t octets) {
    known_address *place = place_of(ntohs(raw->v4.sin_port)); /* at the same place in both families */
    if (place->source == NULL || place->octets != octets || memcmp(&place->raw, raw, octets) != 0) {
        PyObject *source = new_source(raw);
        if (source == NULL) {
            return NULL;
        }
        Py_XSETREF(place->source, source);
        place->raw = *raw;
        place->octets = octets;
    }
    return Py_NewRef(place->source);
}

/* The raw form of a source; 0 and an exception if it is none. */
static socklen_t address_of(PyObject *source, address *raw) {
    const char *host;
    int port;
    unsigned int flow = 0, scope = 0;
    if (PyTuple_Check(source) && PyTuple_GET_SIZE(source) > 1 && PyLong_Check(PyTuple_GET_ITEM(source, 1))) {
        known_address *place = place_of((int)PyLong_AsLong(PyTuple_GET_ITEM(source, 1)));
        if (place->source == source) {
            *raw = place->raw;
            return place->octets;
        }
    }
    if (!PyTuple_Check(source) || !PyArg_ParseTuple(source, "si|II", &host, &port, &flow, &scope)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "a source is (host, port)");
        }
        return 0;
    }
    memset(raw, 0, sizeof *raw);
    raw->v4.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &raw->v4.sin_addr) == 1) {
        raw->any.sa_family = AF_INET;
        return sizeof raw->v4;
    }
    memset(&raw->v4.sin_addr, 0, sizeof raw->v4.sin_addr);
    if (inet_pton(AF_INET6, host, &raw->v6.sin6_addr) == 1) {
        raw->any.sa_family = AF_INET6;
        raw->v6.sin6_flowinfo = htonl(flow);
        raw->v6.sin6_scope_id = scope;
        return sizeof raw->v6;
    }
    PyErr_Format(PyExc_ValueError, "%s is no address", host);
    return 0;
}

/* What a reply says to leave from the address that was asked: what "came to" is sent back as "goes from". */
static PyObject *local_of(struct msghdr *header) {
    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each != NULL; each = CMSG_NXTHDR(header, each)) {
        if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo came, goes = {0};
            memcpy(&came, CMSG_DATA(each), sizeof came);
            goes.ipi_spec_dst = came.ipi_spec_dst;
            return PyBytes_FromStringAndSize((const char *)&goes, sizeof goes);
        }
        if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
            return PyBytes_FromStringAndSize((const char *)CMSG_DATA(each), sizeof(struct in6_pktinfo));
        }
    }
    return PyBytes_FromStringAndSize(NULL, 0);
}

static PyObject *received(int at) {
    PyObject *source = source_of(&addresses[at], messages[at].msg_hdr.msg_namelen);
    PyObject *local = source == NULL ? NULL : local_of(&messages[at].msg_hdr);
    if (local == NULL) {
        Py_XDECREF(source);
        return NULL;
    }
    return Py_BuildValue("(y#NN)", buffers[at], (Py_ssize_t)messages[at].msg_len, source, local);
}

static PyObject *receive(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    int fd = count == 1 ? (int)PyLong_AsLong(arguments[0]) : -1;
    if (fd < 0) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "receive(fd)");
    }
    for (int at = 0; at < BATCH; at++) {
        parts[at] = (struct iovec){buffers[at], DATAGRAM_OCTETS_MAX};
        messages[at].msg_hdr = (struct msghdr){
            .msg_name = &addresses[at], .msg_namelen = sizeof addresses[at], .msg_iov = &parts[at], .msg_iovlen = 1,
            .msg_control = controls[at], .msg_controllen = CONTROL_OCTETS};
    }
    int there = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    PyObject *found = PyList_New(there > 0 ? there : 0); /* nothing more to read, or an ICMP error of a reply */
    for (int at = 0; found != NULL && at < there; at++) {
        PyObject *each = received(at);
        if (each == NULL) {
            Py_CLEAR(found);
        } else {
            PyList_SET_ITEM(found, at, each);
        }
    }
    return found;
}

static bool can_kernel_segment(int fd) {
    if (can_segment < 0) {
        int octets;
        socklen_t length = sizeof octets;
        can_segment = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &octets, &length) == 0;
    }
    return can_segment > 0;
}

/* Whether the reply is one: (bytes, source, bytes); else an exception is set. */
static bool read_reply(PyObject *given, int at) {
    PyObject *source;
    if (!PyArg_ParseTuple(given, "SOS", &replies[at].octets, &source, &replies[at].local)) {
        return false;
    }
    replies[at].address_octets = address_of(source, &addresses[at]);
    replies[at].is_placed = false;
    return replies[at].address_octets != 0;
}

static bool is_same_bytes(PyObject *one, PyObject *other) {
    Py_ssize_t length = PyBytes_GET_SIZE(one);
    return one == other ||
           (length == PyBytes_GET_SIZE(other) && memcmp(PyBytes_AS_STRING(one), PyBytes_AS_STRING(other), (size_t)length) == 0);
}

static bool go_together(int one, int other) {
    return PyBytes_GET_SIZE(replies[one].octets) == PyBytes_GET_SIZE(replies[other].octets) &&
           replies[one].address_octets == replies[other].address_octets &&
           memcmp(&addresses[one], &addresses[other], replies[one].address_octets) == 0 &&
           is_same_bytes(replies[one].local, replies[other].local);
}

static void add_control(struct msghdr *header, int level, int kind, const void *content, size_t octets) {
    struct cmsghdr *each = (struct cmsghdr *)((char *)header->msg_control + header->msg_controllen);
    each->cmsg_level = level;
    each->cmsg_type = kind;
    each->cmsg_len = CMSG_LEN(octets);
    memcpy(CMSG_DATA(each), content, octets);
    header->msg_controllen += CMSG_SPACE(octets);
}

/* The message of one reply, and of all later ones that go with it. */
static void place(int first, int batch, int message, int *placed, bool segments) {
    struct msghdr *header = &messages[message].msg_hdr;
    *header = (struct msghdr){.msg_name = &addresses[first], .msg_namelen = replies[first].address_octets,
                              .msg_iov = &parts[*placed], .msg_control = controls[message]};
    size_t length = (size_t)PyBytes_GET_SIZE(replies[first].octets);
    int last = segments && 0 < length && length <= SEGMENT_OCTETS_MAX ? batch : first + 1;
    for (int at = first; at < last; at++) {
        if (!replies[at].is_placed && go_together(first, at)) {
            replies[at].is_placed = true;
            parts[(*placed)++] = (struct iovec){PyBytes_AS_STRING(replies[at].octets), length};
            header->msg_iovlen++;
        }
    }
    size_t local_octets = (size_t)PyBytes_GET_SIZE(replies[first].local);
    if (local_octets == sizeof(struct in_pktinfo)) {
        add_control(header, IPPROTO_IP, IP_PKTINFO, PyBytes_AS_STRING(replies[first].local), local_octets);
    } else if (local_octets == sizeof(struct in6_pktinfo)) {
        add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, PyBytes_AS_STRING(replies[first].local), local_octets);
    }
    if (header->msg_iovlen > 1) {
        add_control(header, IPPROTO_UDP, UDP_SEGMENT, &(uint16_t){(uint16_t)length}, sizeof(uint16_t));
    }
}

/* What the kernel would not take at once, datagram by datagram; says how many of them it did not take either. */
static int send_singly(int fd, struct msghdr *header) {
    if (header->msg_iovlen == 1) {
        return 1; /* it has no room for this one, or nobody is there */
    }
    if (errno == EINVAL || errno == EIO) {
        can_segment = 0; /* this way out cannot (encryption, no checksums): do not try again */
    }
    int unsent = 0;
    struct msghdr single = *header;
    single.msg_iovlen = 1;
    single.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
    for (size_t at = 0; at < header->msg_iovlen; at++) {
        single.msg_iov = header->msg_iov + at;
        unsent += sendmsg(fd, &single, MSG_DONTWAIT) < 0;
    }
    return unsent;
}

static PyObject *send_all(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    int fd = count == 2 ? (int)PyLong_AsLong(arguments[0]) : -1;
    if (fd < 0 || !PyList_Check(arguments[1])) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "send_all(fd, [(octets, source, local), ...])");
    }
    Py_ssize_t total = PyList_GET_SIZE(arguments[1]), unsent = 0;
    for (Py_ssize_t begin = 0; begin < total; begin += BATCH) {
        int batch = total - begin < BATCH ? (int)(total - begin) : BATCH, placed = 0, ready = 0;
        for (int at = 0; at < batch; at++) {
            if (!read_reply(PyList_GET_ITEM(arguments[1], begin + at), at)) {
                return NULL;
            }
        }
        bool segments = can_kernel_segment(fd);
        for (int at = 0; at < batch; at++) {
            if (!replies[at].is_placed) {
                place(at, batch, ready++, &placed, segments);
            }
        }
        for (int at = 0; at < ready;) {
            int sent = sendmmsg(fd, messages + at, (unsigned int)(ready - at), MSG_DONTWAIT);
            unsent += sent < 1 ? send_singly(fd, &messages[at].msg_hdr) : 0;
            at += sent < 1 ? 1 : sent;
        }
    }
    return PyLong_FromSsize_t(unsent);
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL,
     "receive(fd) -> [(octets, source, local), ...]: what has come, at most 64; empty if nothing has."},
    {"send_all", (PyCFunction)(void (*)(void))send_all, METH_FASTCALL,
     "send_all(fd, [(octets, source, local), ...]) -> how many could not be sent."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "udp", NULL, -1, methods};

PyMODINIT_FUNC PyInit_udp(void) { return PyModule_Create(&definition); }
