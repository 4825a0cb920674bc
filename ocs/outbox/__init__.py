"""The CDF and CGF: what left the charging core with the money is carried to the back ends, once in effect."""
