/* Datagrams by the batch: one call of the kernel for up to 64, and no new address for a sender who is known.
 *
 * Sources are what Python's sockets give: (host, port), or (host, port, flowinfo, scope) for IPv6. Nothing here waits, so the
 * interpreter's lock is kept and the buffers may be static. Linux alone has these calls (recvmmsg(2), sendmmsg(2)). */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM_OCTETS_MAX 8192
#define KNOWN 64 /* a power of two */

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

static known_address known[KNOWN]; /* by port */
static char buffers[BATCH][DATAGRAM_OCTETS_MAX];
static address addresses[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

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

static PyObject *receive(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    int fd = count == 2 ? (int)PyLong_AsLong(arguments[0]) : -1;
    if (fd < 0) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "receive(fd, local)");
    }
    for (int at = 0; at < BATCH; at++) {
        parts[at] = (struct iovec){buffers[at], DATAGRAM_OCTETS_MAX};
        messages[at].msg_hdr = (struct msghdr){
            .msg_name = &addresses[at], .msg_namelen = sizeof addresses[at], .msg_iov = &parts[at], .msg_iovlen = 1};
    }
    int there = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    PyObject *found = PyList_New(there > 0 ? there : 0); /* nothing more to read, or an ICMP error of a reply */
    for (int at = 0; found != NULL && at < there; at++) {
        PyObject *source = source_of(&addresses[at], messages[at].msg_hdr.msg_namelen);
        PyObject *each = source == NULL ? NULL : Py_BuildValue("(y#NO)", buffers[at], (Py_ssize_t)messages[at].msg_len, source, arguments[1]);
        if (each == NULL) {
            Py_CLEAR(found);
        } else {
            PyList_SET_ITEM(found, at, each);
        }
    }
    return found;
}

static PyObject *send_all(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    int fd = count == 2 ? (int)PyLong_AsLong(arguments[0]) : -1;
    if (fd < 0 || !PyList_Check(arguments[1])) {
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "send_all(fd, [(octets, source), ...])");
    }
    PyObject *replies = arguments[1];
    Py_ssize_t total = PyList_GET_SIZE(replies), unsent = 0;
    for (Py_ssize_t first = 0; first < total; first += BATCH) {
        int batch = total - first < BATCH ? (int)(total - first) : BATCH;
        for (int at = 0; at < batch; at++) {
            PyObject *octets, *source;
            if (!PyArg_ParseTuple(PyList_GET_ITEM(replies, first + at), "SO", &octets, &source)) {
                return NULL;
            }
            socklen_t length = address_of(source, &addresses[at]);
            if (length == 0) {
                return NULL;
            }
            parts[at] = (struct iovec){PyBytes_AS_STRING(octets), (size_t)PyBytes_GET_SIZE(octets)};
            messages[at].msg_hdr = (struct msghdr){
                .msg_name = &addresses[at], .msg_namelen = length, .msg_iov = &parts[at], .msg_iovlen = 1};
        }
        for (int at = 0; at < batch;) {
            int sent = sendmmsg(fd, messages + at, (unsigned int)(batch - at), MSG_DONTWAIT);
            unsent += sent < 1; /* the kernel has no room for this one, or nobody is there: the next may go */
            at += sent < 1 ? 1 : sent;
        }
    }
    return PyLong_FromSsize_t(unsent);
}

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL,
     "receive(fd, local) -> [(octets, source, local), ...]: what has come, at most 64; empty if nothing has."},
    {"send_all", (PyCFunction)(void (*)(void))send_all, METH_FASTCALL,
     "send_all(fd, [(octets, source), ...]) -> how many could not be sent."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "udp", NULL, -1, methods};

PyMODINIT_FUNC PyInit_udp(void) { return PyModule_Create(&definition); }
