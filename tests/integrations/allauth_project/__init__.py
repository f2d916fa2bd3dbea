"""A Django project with allauth, whose users have phones. `python -m allauth_project FOLDER` serves it.

It is a process of its own, because its user model is not that of `django_site`.
"""
