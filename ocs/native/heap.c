/* Python's small objects in huge pages: the processor then finds 10,000 accounts without walking its page tables.
 *
 * Python asks for a megabyte (an arena) at a time; it gets a part of 64 that the kernel is asked to back by pages of 2. What
 * is given back is kept for the next who asks. Everything beyond 512 octets is malloc's, as ever. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <sys/mman.h>

#define CHUNK_OCTETS ((size_t)64 << 20)
#define HUGE_OCTETS ((size_t)2 << 20)

typedef struct spare {
    struct spare *next;
} spare;

static PyObjectArenaAllocator before;
static int is_in_use = 0;
static char *rest = NULL, *rest_end = NULL;  /* of the newest chunk */
static char *lowest = NULL, *highest = NULL; /* of all chunks */
static spare *spares = NULL;
static size_t arena_octets = 0; /* they are all alike */

static int take_chunk(void) {
    char *at = mmap(NULL, CHUNK_OCTETS + HUGE_OCTETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return 0;
    }
    rest = (char *)(((uintptr_t)at + HUGE_OCTETS - 1) & ~(uintptr_t)(HUGE_OCTETS - 1));
    rest_end = rest + CHUNK_OCTETS;
#ifdef MADV_HUGEPAGE
    madvise(rest, CHUNK_OCTETS, MADV_HUGEPAGE); /* a kernel that cannot gives ordinary pages */
#endif
    lowest = lowest == NULL || rest < lowest ? rest : lowest;
    highest = rest_end > highest ? rest_end : highest;
    return 1;
}

static void *take(void *context, size_t octets) {
    if (spares != NULL && octets == arena_octets) {
        spare *found = spares;
        spares = found->next;
        return found;
    }
    if ((size_t)(rest_end - rest) < octets && !take_chunk()) {
        return NULL;
    }
    void *found = rest;
    rest += octets;
    return found;
}

static void give(void *context, void *arena, size_t octets) {
    if ((char *)arena < lowest || (char *)arena >= highest) { /* taken before we came */
        before.free(before.ctx, arena, octets);
        return;
    }
    arena_octets = octets;
    ((spare *)arena)->next = spares;
    spares = arena;
}

static PyObject *use_huge_pages(PyObject *module, PyObject *nothing) {
    if (!is_in_use) {
        PyObjectArenaAllocator ours = {NULL, take, give};
        PyObject_GetArenaAllocator(&before);
        PyObject_SetArenaAllocator(&ours);
        is_in_use = 1;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"use_huge_pages", use_huge_pages, METH_NOARGS, "Take the memory of small objects in huge pages from now on."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "heap", NULL, -1, methods};

PyMODINIT_FUNC PyInit_heap(void) {
    return PyModule_Create(&definition);
}
