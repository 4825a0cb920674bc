/* What compiled code looks up by name, found once for each place in the code.
 *
 * mypyc reads attributes of classes that it has not compiled (our values are msgspec structs) and names of modules through
 * dictionaries, every time. CPython's own interpreter remembers at each instruction what it found last; these do the same:
 * a slot is read at its offset as long as the type has not changed, a global is as it was as long as its dictionary has not.
 * Measured in docs/adr/0016-compiling.md. */
#ifndef OCS_LOOKUPS_H
#define OCS_LOOKUPS_H

#include <Python.h>
#include <structmember.h>

typedef struct {
    PyTypeObject *type;
    unsigned int version;
    Py_ssize_t offset;
} ocs_slot;

/* Learn the place of a slot; all that is no plain slot (properties, methods, classes) is read as ever. */
static PyObject *ocs_attribute_anew(ocs_slot *slot, PyObject *owner, PyObject *name) {
    PyTypeObject *type = Py_TYPE(owner);
    if (type->tp_getattro == PyObject_GenericGetAttr) {
        PyObject *found = _PyType_Lookup(type, name);
        if (found != NULL && Py_TYPE(found) == &PyMemberDescr_Type) {
            PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
            if (member->type == T_OBJECT_EX && member->offset > 0) {
                slot->type = type;
                slot->version = type->tp_version_tag; /* 0: not known, and never equal below */
                slot->offset = member->offset;
            }
        }
    }
    return PyObject_GetAttr(owner, name);
}

static inline PyObject *ocs_attribute(ocs_slot *slot, PyObject *owner, PyObject *name) {
    PyTypeObject *type = Py_TYPE(owner);
    if (__builtin_expect(type == slot->type && type->tp_version_tag == slot->version && slot->version != 0, 1)) {
        PyObject *value = *(PyObject **)((char *)owner + slot->offset);
        if (__builtin_expect(value != NULL, 1)) {
            Py_INCREF(value);
            return value;
        }
    }
    return ocs_attribute_anew(slot, owner, name);
}

#define PyObject_GetAttr(owner, name)               \
    __extension__({                                 \
        static ocs_slot slot_;                      \
        ocs_attribute(&slot_, (owner), (name));     \
    })

#if PY_VERSION_HEX < 0x030C0000 /* later ones share the version with watchers of dictionaries */

typedef struct {
    PyObject *names; /* a module's, as long as the program runs */
    PyObject *name;
    uint64_t version;
    PyObject *value;
} ocs_global;

static PyObject *ocs_global_anew(ocs_global *known, PyObject *names, PyObject *name) {
    PyObject *value = CPyDict_GetItem(names, name);
    if (value != NULL && (known->names == NULL || (known->names == names && known->name == name))) {
        known->names = names;
        known->name = name;
        known->version = ((PyDictObject *)names)->ma_version_tag;
        known->value = value; /* borrowed: the dictionary of this version holds it */
    }
    return value;
}

static inline PyObject *ocs_named(ocs_global *known, PyObject *names, PyObject *name) {
    if (__builtin_expect(known->names == names && known->name == name, 1) &&
        __builtin_expect(((PyDictObject *)names)->ma_version_tag == known->version, 1)) {
        Py_INCREF(known->value);
        return known->value;
    }
    return ocs_global_anew(known, names, name);
}

#define OCS_GLOBAL(names, name)                     \
    __extension__({                                 \
        static ocs_global known_;                   \
        ocs_named(&known_, (names), (name));        \
    })
#else
#define OCS_GLOBAL(names, name) CPyDict_GetItem((names), (name))
#endif

/* octets[8:6] is empty; mypyc's own (2.4) takes the difference for a length and fails. */
static inline PyObject *ocs_slice(PyObject *octets, CPyTagged start, CPyTagged end) {
    if (CPyTagged_CheckShort(start) && CPyTagged_CheckShort(end) && PyBytes_Check(octets)) {
        Py_ssize_t length = PyBytes_GET_SIZE(octets);
        Py_ssize_t from = CPyTagged_ShortAsSsize_t(start), to = CPyTagged_ShortAsSsize_t(end);
        from = from < 0 ? from + length : from;
        to = to < 0 ? to + length : to;
        if (from >= to || from >= length) {
            return PyBytes_FromStringAndSize(NULL, 0);
        }
    }
    return CPyBytes_GetSlice(octets, start, end);
}

#define CPyBytes_GetSlice(octets, start, end) ocs_slice((octets), (start), (end))

#endif
